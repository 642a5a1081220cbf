"""Sample drawings: what they show, and what they may cost."""

from pathlib import Path

import torch
from PIL import Image

from lora_gui.engine.train.samples import Samples, prompts_of
from lora_gui.families import family
from lora_gui.protocol.task_folder import TaskFolder
from tests import tiny

CPU = torch.device("cpu")
FAMILY = tiny.QuickStableDiffusion1()


def samples(job, folder):
    parts = FAMILY.denoisers(Path(job.base.path), CPU, torch.float32)
    return Samples(job, FAMILY, parts, [], TaskFolder(folder), CPU, torch.float32)


def test_prompts_are_those_given(base, tmp_path):
    assert prompts_of(tiny.job(tmp_path, base, sample_prompts=("a", "b"))) == ["a", "b"]
    assert prompts_of(tiny.job(tmp_path, base, sample_prompts=("[trigger] a", "b {name}"))) == ["zxy a", "b zxy"]


def test_prompts_are_chosen_from_the_captions_with_the_trigger(base, tmp_path):
    assert prompts_of(tiny.job(tmp_path, base, sample_prompts=())) == [f"zxy thing {n}" for n in range(4)]


def test_without_captions_the_trigger_alone_is_drawn_twice(base, tmp_path):
    job = tiny.job(tmp_path, base, sample_prompts=())
    bare = tuple(picture.model_copy(update={"caption": ""}) for picture in job.pictures)
    assert prompts_of(job.model_copy(update={"pictures": bare})) == ["zxy", "zxy"]


def test_samples_between_steps_cost_a_tenth_of_the_training_at_most_or_are_one(base, tmp_path):
    prompts = tuple(f"{n}" for n in range(8))
    few = samples(tiny.job(tmp_path, base, sample_prompts=prompts, sample_every=1), tmp_path)
    many = samples(tiny.job(tmp_path, base, sample_prompts=prompts, sample_every=100, batch_size=2), tmp_path)
    assert few.affordable() == 1
    assert many.affordable() == 7  # 600 passes of training, 8 for each drawing


def test_a_changed_pixel_is_seen(base, tmp_path):
    one = samples(tiny.job(tmp_path, base), tmp_path)
    one.task.samples.mkdir()
    image = Image.new("RGB", (8, 8))
    image.save(one.path("base", 0))
    image.save(one.path("final", 0))
    assert not one.differ("base", "final")
    image.putpixel((3, 3), (0, 0, 1))
    image.save(one.path("final", 0))
    assert one.differ("base", "final")


def test_the_starter_is_drawn_as_its_own_defaults_say():
    facts = family("sd1").facts
    assert facts.draw_defaults_of("starter") == facts.draw_defaults | {"width": 128, "height": 128, "guidance": 4.0}
    assert facts.draw_defaults_of("sd15") == facts.draw_defaults
    assert "guidance" not in facts.train_defaults_of("starter")
