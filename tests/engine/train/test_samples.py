"""Sample drawings: what they show, and what they may cost."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from lora_gui.engine.train.samples import Samples, left_out, planned, prompts_of
from lora_gui.errors import SettingError
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


def test_all_samples_of_a_run_cost_three_hundredths_of_its_training_at_most_or_are_one_a_set(base, tmp_path):
    prompts = tuple(f"{n}" for n in range(8))
    job = tiny.job(tmp_path, base, sample_prompts=prompts, steps=3000, sample_every=0, batch_size=2)
    often, seldom = {"steps": 100, "sample_every": 10}, {"steps": 1000, "sample_every": 100}
    for changes, wanted in (({}, 8), (seldom, 4), (often, 1)):
        settings = job.settings.model_copy(update=changes)
        made, draw = planned(job.model_copy(update={"settings": settings}), FAMILY)
        sets = 2 + ((settings.steps - 1) // settings.sample_every if settings.sample_every else 0)
        passes = sets * len(made) * 2 * draw.steps
        assert len(made) == wanted
        assert wanted == 1 or passes <= 0.03 * 3 * settings.steps * settings.batch_size


def test_a_sample_takes_few_steps_and_all_sets_of_a_run_that_was_extended_the_same(base, tmp_path):
    known = family("sd1")
    job = tiny.job(tmp_path, base, steps=10, sample_every=0)
    short, long = (job.model_copy(update={"settings": job.settings.model_copy(update={"steps": steps})})
                   for steps in (10, 100_000))  # fmt: skip
    assert [planned(one, known)[1].steps for one in (short, long)] == [8, 12]
    assert planned(long.model_copy(update={"extended_at": (10,)}), known) == planned(short, known)


def test_a_sample_that_no_base_draws_as_small_is_a_sentence(base, tmp_path):
    with pytest.raises(SettingError, match="Width must be at least 64"):
        planned(tiny.job(tmp_path, base, sample_resolution=8), FAMILY)


def test_prompts_that_were_asked_for_and_are_not_drawn_are_told(base, tmp_path):
    few = tiny.job(tmp_path, base, sample_prompts=("a", "b", "c"), steps=10)
    told = [note.text for note in left_out(few, planned(few, FAMILY)[0])]
    assert told == ["Samples show 1 of the 3 prompts, so that they take little of the run's time."]
    assert not list(left_out(few, ["a", "b", "c"]))


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
    own = {"width": 128, "height": 128, "guidance": 4.0, "guidance_end": 0.75, "steps": 8}
    assert facts.draw_defaults_of("starter") == facts.draw_defaults | own
    assert facts.draw_defaults_of("sd15") == facts.draw_defaults
    assert "guidance" not in facts.train_defaults_of("starter")
