"""How long a training will take, read from the short results of earlier runs and from nothing else."""

import os

import pytest

from lora_gui import files
from lora_gui.protocol import events
from lora_gui.protocol.jobs import Base, TrainJob
from lora_gui.protocol.task_folder import Reached, TaskFolder
from lora_gui.settings import TrainSettings
from lora_gui.studio.capacity import estimate as module
from lora_gui.studio.capacity.estimate import estimate, measured
from lora_gui.studio.paths import Studio

BASE = Base(key="toy", title="Toy", family="sd1", path="/a base of nobody/toy")


@pytest.fixture
def studio(tmp_path):
    return Studio(tmp_path)


def run(studio, number, last, first=0, **settings):
    """The folder of a run that ended with `last`; what it said on the way is of another length altogether."""
    folder = studio.runs / f"20260101-120000-{number:04x}"
    job = TrainJob(
        name="toy", trigger="zxy", preset="style", base=BASE, pictures=(), settings=TrainSettings(**settings),
        publish_to=str(studio.loras),
    )  # fmt: skip
    task = TaskFolder(folder)
    task.write_job(job)
    said = (events.Started(9, 0), events.Done("x", "y", 9, 1.0))
    files.write_text(task.events, "".join(events.to_line(one) + "\n" for one in said))
    task.write_result(last, Reached(first, getattr(last, "steps", 0) or getattr(last, "step", 0), 100))
    return folder


def done(seconds, steps=100):
    return events.Done("loras/toy.safetensors", "0" * 64, steps, seconds)


def test_it_comes_from_the_short_result_of_the_newest_run_like_it(studio):
    run(studio, 1, done(110))
    assert estimate(studio, TrainSettings(steps=200), BASE) == pytest.approx((10 + 200) / 60)
    run(studio, 2, done(210), first=50)  # went on from step 50: fifty steps in that time
    assert estimate(studio, TrainSettings(steps=50), BASE) == pytest.approx((10 + 200) / 60)
    assert estimate(studio, TrainSettings(steps=50, resolution=1024), BASE) is None


def test_what_no_run_has_shown_yet_is_measured_by_none(studio, monkeypatch):
    monkeypatch.setattr(module.bases, "ships_with_the_app", lambda base: True)
    assert estimate(studio, TrainSettings(), BASE) and measured(studio, TrainSettings(), BASE) is None
    run(studio, 1, done(110))
    assert estimate(studio, TrainSettings(), BASE) == measured(studio, TrainSettings(), BASE)


def test_what_holds_the_base_counts_as_the_passes_it_takes(studio):
    run(studio, 1, done(110))
    assert estimate(studio, TrainSettings(class_words="a woman", class_pictures=50), BASE) * 60 == pytest.approx(2010)
    assert estimate(studio, TrainSettings(preservation=1, steps=300), BASE) * 60 == pytest.approx(10 + 300 * 5 / 3)
    run(studio, 2, done(210), class_words="a woman", class_pictures=50)  # which learnt each picture twice
    assert estimate(studio, TrainSettings(steps=200), BASE) * 60 == pytest.approx(10 + 200)


def test_runs_without_a_figure_of_use_are_passed_over(studio):
    run(studio, 1, done(110))
    run(studio, 2, events.Stopped(50))
    run(studio, 3, events.Failed("It broke.", "Mend it."))
    run(studio, 4, done(0.0))
    run(studio, 5, done(50), first=100)
    (run(studio, 6, done(1.0)) / "job.json").write_text("[" * 200_000)
    odd = run(studio, 7, done(1.0))
    files.write_json(odd / "result.json", {"first": "words", "step": [], "last": 5})
    (odd / "events.jsonl").unlink()  # which would be read where there is no short result
    (studio.runs / "29990101-000000-0000").mkdir()
    (studio.runs / "29990101-000000-0000" / "job.json").write_text("null")
    assert estimate(studio, TrainSettings(steps=100), BASE) == pytest.approx(110 / 60)


def test_every_further_question_opens_no_file_until_a_run_ends(studio, monkeypatch):
    for number in range(40):
        run(studio, number, done(110))
    read = []
    real = TaskFolder.read_job
    monkeypatch.setattr(TaskFolder, "read_job", lambda self: read.append(self.path) or real(self))
    module._finished.cache_clear()
    estimate(studio, TrainSettings(resolution=1024), BASE)
    assert len({*read}) == module.RECENT
    read.clear()
    for steps in range(1, 20):
        estimate(studio, TrainSettings(resolution=1024, steps=steps), BASE)
    assert not read
    folder = run(studio, 39, done(55))
    os.utime(folder)  # a clock may be too coarse to tell two writes at once
    assert estimate(studio, TrainSettings(steps=100), BASE) == pytest.approx(55 / 60) and len({*read}) == 1
