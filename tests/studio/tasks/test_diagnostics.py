"""A report tells what helps and nothing private."""

from pathlib import Path

from lora_gui import files
from lora_gui.protocol import events
from lora_gui.protocol.jobs import Base, TrainJob, TrainPicture
from lora_gui.settings import TrainSettings
from lora_gui.studio.tasks.diagnostics import report, without_private
from lora_gui.studio.tasks.runs import Run

LOG = """Traceback (most recent call last):
  File "{home}/my studio/lora_gui/engine/train/loop.py", line 9, in train
  File "C:\\\\Users\\\\Jane Doe\\\\x.py", line 3
OSError: cannot read /data/holiday/of jane.png with hf_abcdefghijklmnop
while learning 'a photo of zxy_jane at the lake', zxy_jane
"""


def test_paths_captions_names_and_tokens_are_left_out(tmp_path):
    job = TrainJob(
        name="jane-lora",
        trigger="zxy_jane",
        preset="character",
        base=Base(key="toy", title="Toy", family="sd1", path="/bases/toy"),
        pictures=(
            TrainPicture(path="/data/holiday/0001.png", caption="a photo of zxy_jane at the lake", captions=("Anna",)),
        ),
        settings=TrainSettings(steps=20, sample_prompts=("zxy_jane in Rome",), class_words="a Dane"),
        publish_to=str(tmp_path / "loras"),
    )
    folder = tmp_path / "run"
    files.write_text(folder / "job.json", job.model_dump_json())
    said = (events.Started(20), events.Failed("jane-lora.safetensors could not be saved.", "Look into /data/holiday."))
    files.write_text(folder / "events.jsonl", "".join(events.to_line(event) + "\n" for event in said))
    files.write_text(folder / "log.txt", LOG.replace("{home}", str(Path.home())))
    told = report(Run(folder))
    words = ("jane", "Jane Doe", "lake", "Rome", "Dane")
    for private in (*words, "holiday", "hf_", str(tmp_path), str(Path.home()) + "/"):
        assert private not in told, private
    for useful in ("step 0 of 20: failed", "Traceback", "loop.py", "rank=16", "OSError", "could not be saved"):
        assert useful in told, useful


def test_ordinary_words_and_figures_stay(tmp_path):
    text = "loss 0.12 at 3/4 of 1,400 steps: RuntimeError"
    assert without_private(text, [], Run(tmp_path)) == text
