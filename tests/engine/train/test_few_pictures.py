"""What helps to learn more from few pictures: a run that was killed goes on to the same bits with each of it."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from lora_gui import files
from lora_gui.engine.train.loop import train
from lora_gui.protocol.events import Done, Saved
from lora_gui.protocol.jobs import TrainJob, mask_beside
from tests import soak, tiny

FAMILY = tiny.QuickStableDiffusion1()
WAYS = {
    "masks": {"masked_loss": True, "flip": True},
    "masks and variants": {
        "masked_loss": True, "flip": True, "caption_lines": True, "shuffle_tags": True, "tag_dropout": 0.3,
        "caption_dropout": 0.3,
    },
    "class pictures": {"class_words": "thing", "class_pictures": 2, "class_weight": 0.7},
    "class and words": {"class_words": "thing", "class_pictures": 1, "preservation": 1, "accumulation": 2},
    "blank words": {"preservation": 0.5, "train_text_encoder": True, "caption_dropout": 0.5},
    "timesteps": {"timestep_bias": "style", "learn_below": 0.8, "preservation": 1},
    "resolutions": {"resolution": 128, "further_resolutions": (64, 96)},
    "moved": {"moved_views": 2, "masked_loss": True, "flip": True},
    "variants": {"caption_lines": True, "shuffle_tags": True, "tag_dropout": 0.3, "caption_dropout": 0.3},
}
QUICK = ("masks and variants", "class and words")


def job(folder: Path, base: Path, **settings) -> TrainJob:
    """Pictures of which one has a mask and lines of tags, and one is large."""
    made = tiny.job(folder, base, **({"steps": 3, "sample_every": 0} | settings))
    first, _, *others = made.pictures
    others += tiny.pictures(folder / "large", 1, (128, 128))
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (0, 0, 30, 40))
    mask.save(mask_beside(Path(first.path)))
    told = {"captions": ("a, b, c", "d, e"), "mask": files.sha256(mask_beside(Path(first.path)))}
    return made.model_copy(update={"pictures": (first.model_copy(update=told), *others)})


def learnt(folder: Path, made: TrainJob) -> dict[str, torch.Tensor]:
    *_, done = train(made, folder, FAMILY)
    assert isinstance(done, Done)
    return load_file(done.lora)


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.fixture(scope="module")
def plain(base, tmp_path_factory):
    """What is learnt with none of it."""
    folder = tmp_path_factory.mktemp("plain")
    return learnt(folder, job(folder, base))


@pytest.mark.parametrize("way", soak.but(QUICK, WAYS))
def test_a_run_that_was_killed_goes_on_to_the_same_bits_with(way, plain, base, tmp_path):
    undisturbed = learnt(tmp_path / "undisturbed", job(tmp_path / "undisturbed", base, **WAYS[way]))
    assert not equal(undisturbed, plain)
    made = job(tmp_path / "killed", base, **WAYS[way])
    for event in train(made, tmp_path / "killed", FAMILY):
        if isinstance(event, Saved) and event.step == 2:
            break  # as good as kill -9
    assert equal(learnt(tmp_path / "killed", made), undisturbed)


def test_what_is_off_changes_nothing_whatever_stands_beside_it(plain, base, tmp_path):
    beside = {"unmasked_weight": 0.9, "keep_first_tags": 5}
    assert equal(learnt(tmp_path, job(tmp_path, base, **beside)), plain)
