"""Masked loss: a picture's mask, framed as the picture, says how much each cell of its latents counts."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lora_gui import files
from lora_gui.engine.train import cache, losses, masks
from lora_gui.engine.train.loop import train
from lora_gui.errors import UserError
from lora_gui.families import family
from lora_gui.families.base import Batch
from lora_gui.framing import Framing, frame
from lora_gui.protocol.jobs import TrainPicture, mask_beside
from lora_gui.settings import TrainSettings
from tests import tiny

CPU = torch.device("cpu")
FAMILY = tiny.QuickStableDiffusion1()


def masked(picture, box, size=(64, 64)):
    """The picture with a mask beside it that is white in `box`."""
    image = Image.new("L", size, 0)
    image.paste(255, box)
    path = mask_beside(Path(picture.path))
    image.save(path)
    return picture.model_copy(update={"mask": files.sha256(path)})


def job(folder, base, boxes, **settings):
    made = tiny.job(folder, base, **settings)
    pairs = zip(made.pictures, (*boxes, *[None] * len(made.pictures)), strict=False)
    return made.model_copy(update={"pictures": tuple(masked(one, box) if box else one for one, box in pairs)})


def test_a_mask_is_scaled_and_cropped_with_its_picture_and_each_cell_is_the_mean_of_its_pixels(tmp_path):
    original = np.random.default_rng(1).integers(0, 256, (300, 520), np.uint8)
    Image.fromarray(original).convert("RGB").save(tmp_path / "a.png")
    Image.fromarray(original).save(tmp_path / "a-masklabel.png")
    picture = TrainPicture(path=str(tmp_path / "a.png"), mask="there")
    framing = frame((520, 300), 256, family("sd1").facts)
    assert framing.scale < 1 and framing.corner != (0, 0)
    kept = masks.kept(picture, framing, False)
    width, height = framing.bucket
    scaled = np.asarray(Image.fromarray(original).resize(framing.scaled, Image.Resampling.BOX), np.float64) / 255
    left, top = framing.corner
    cells = scaled[top : top + height, left : left + width].reshape(height // 8, 8, width // 8, 8).mean((1, 3))
    np.testing.assert_allclose(kept[0].numpy(), cells, atol=1e-6)
    torch.testing.assert_close(masks.kept(picture, framing, True), kept.flip(-1))
    white = masks.kept(TrainPicture(path="none.png"), framing, False)
    assert white.shape == kept.shape and bool((white == 1).all())


def test_the_loss_is_the_mean_of_what_counts_by_how_much_it_counts():
    chance = np.random.default_rng(2)
    predicted, target = chance.normal(size=(2, 2, 4, 6, 5))
    mask = chance.integers(0, 2, (2, 1, 6, 5)).astype(float)
    expected = []
    for one, other, own in zip(predicted, target, mask, strict=True):  # position by position, without a tensor library
        above = below = 0.0
        for row in range(6):
            for column in range(5):
                counts = max(own[0, row, column], 0.1)
                for channel in range(4):
                    above += counts * (one[channel, row, column] - other[channel, row, column]) ** 2
                    below += counts
        expected.append(above / below)
    batch = Batch({masks.KEY: torch.from_numpy(mask).float()}, {}, [])
    counts = masks.counts(batch, torch.zeros(2, 4, 6, 5), TrainSettings(unmasked_weight=0.1))
    found = losses.mean_error(torch.from_numpy(predicted), torch.from_numpy(target), counts)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)
    assert masks.counts(batch, torch.zeros(2, 1280), TrainSettings()) is None  # an embedding has no cells
    coarse = masks.counts(batch, torch.zeros(2, 16, 3, 5), TrainSettings(unmasked_weight=0))
    np.testing.assert_allclose(coarse.numpy(), mask.reshape(2, 1, 3, 2, 5).mean(3), rtol=1e-6)


def test_masks_are_kept_beside_the_latents_of_each_variant_only_where_they_are_learnt_by(base, tmp_path):
    def built(**settings):
        made = job(tmp_path, base, [(0, 0, 32, 64)], **settings)
        return tiny.outcome(cache.build(made, family("sd1"), [], CPU, torch.float32))[0]

    plain, mirrored = built(masked_loss=True, flip=True).pictures[0]
    expected = torch.zeros(1, 8, 8)
    expected[:, :, :4] = 1
    assert torch.equal(plain[masks.KEY], expected) and torch.equal(mirrored[masks.KEY], expected.flip(-1))
    batch = built(masked_loss=True).batch([1, 0], 0.0, random.Random(1))
    assert batch.pictures[masks.KEY].mean((1, 2, 3)).tolist() == [1, 0.5]
    assert all(masks.KEY not in one for variants in built().pictures for one in variants)


@pytest.mark.soak
def test_masks_change_what_is_learnt_only_where_they_are_learnt_by(base, tmp_path):
    def learnt(name, boxes, **settings):
        made = job(tmp_path / name, base, boxes, **settings)
        events = list(train(made, tmp_path / name, FAMILY))
        return files.read_small(Path(events[-1].lora)), [one.text for one in events if hasattr(one, "text")]

    plain, _ = learnt("plain", [])
    off, told = learnt("off", [(0, 0, 20, 64)])
    assert plain == off and any("Masks are not looked at, since Learn by masks is off." in one for one in told)
    without, told = learnt("without", [], masked_loss=True)
    assert without == plain and "No picture has a mask; all is learnt." in told
    by_masks, told = learnt("on", [(0, 0, 20, 64)], masked_loss=True)
    assert by_masks != plain and "Pictures with a mask: 1 of 4. What is white in it is learnt." in told


def test_a_mask_without_white_where_the_picture_is_learnt_is_named_unless_its_black_counts_too(base, tmp_path):
    framing = Framing((128, 64), (64, 64), (1.0, 0.5))  # its left half is cropped
    made = job(tmp_path, base, [(0, 0, 20, 64)]).pictures[0]
    masked(made, (0, 0, 60, 64), (128, 64))
    with pytest.raises(UserError, match=r"The mask of picture 0 has no white where the picture is learnt"):
        masks.kept(made, framing, False, 0)
    assert not masks.kept(made, framing, False, 0.1).any()
    assert masks.kept(made, framing.mirrored, False, 0).any()
    with pytest.raises(UserError, match="has no white"):
        tiny.outcome(cache.build(job(tmp_path, base, [(0, 0, 0, 0)], masked_loss=True, unmasked_weight=0),
                                 family("sd1"), [], CPU, torch.float32))  # fmt: skip


def test_a_mask_that_changed_is_said_and_one_that_is_gone_ends_the_run_with_its_sentence(base, tmp_path):
    made = job(tmp_path, base, [(0, 0, 20, 64)], masked_loss=True)
    path = mask_beside(Path(made.pictures[0].path))
    Image.new("L", (64, 64), 200).save(path)
    assert "The mask of picture 0 was changed since this run began" in list(masks.notes(made))[-1].text
    path.unlink()
    with pytest.raises(UserError, match=r"The mask of picture 0 cannot be read"):
        masks.kept(made.pictures[0], Framing((64, 64), (64, 64)), False)
