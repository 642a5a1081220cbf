"""Several views of a picture, at other resolutions or moved: each is encoded, and a round sees each as often."""

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lora_gui.engine.train import buckets, cache, loop, masks, views
from lora_gui.engine.train.step import TrainState
from lora_gui.families import family
from lora_gui.framing import Framing
from lora_gui.protocol.events import Note
from lora_gui.settings import TrainSettings
from tests import tiny

CPU = torch.device("cpu")
FAMILY = tiny.QuickStableDiffusion1()


def state(folder, base, **settings):
    """Pictures of 256 px, and one of 64, which is the same at any resolution."""
    job = tiny.job(folder, base, **({"resolution": 128, "batch_size": 1} | settings))
    large = tiny.pictures(folder / "large", 2, (256, 192))
    job = job.model_copy(update={"pictures": (large[0].model_copy(update={"repeats": 2}), large[1], job.pictures[0])})
    encoded, events = tiny.outcome(cache.build(job, family("sd1"), [], CPU, torch.float32))
    parts = FAMILY.denoisers(base, CPU, torch.float32)
    return TrainState(job, FAMILY, parts, encoded, CPU, torch.float32, folder), events


def test_each_picture_is_encoded_at_each_resolution_with_its_own_caption(base, tmp_path):
    made, events = state(tmp_path, base, further_resolutions=(64,))
    encoded = made.cache
    assert encoded.sizes == [(144, 112), (144, 112), (64, 64), (72, 56), (72, 56), (64, 64)]
    assert [one[0]["mean"].shape[-2:] for one in encoded.pictures][:4:3] == [(14, 18), (7, 9)]
    assert encoded.captions_of == [[0], [1], [0], [0], [1], [0]]
    assert (events[-1].done, events[-1].of) == (6, 6)


def test_a_round_sees_each_picture_at_each_resolution_as_often_as_its_repeats_say(base, tmp_path):
    made, _ = state(tmp_path, base, further_resolutions=(64,))
    rounds = 6
    of_a_round = 2 * (2 + 1 + 1)
    found = Counter(batch[0] for batch in itertools.islice(loop._batches(made), rounds * of_a_round))
    small = {2: 2 * rounds}  # at the one size there is
    assert found == {0: 2 * rounds, 3: 2 * rounds, 1: rounds, 4: rounds} | small


def test_masks_and_held_back_pictures_are_those_of_the_picture_at_any_resolution(base, tmp_path):
    made, _ = state(tmp_path, base, further_resolutions=(64,), masked_loss=True)
    assert masks.KEY not in made.cache.pictures[0][0]  # none has a mask
    made.meter.learnt = [1, 2]
    seen = {batch[0] for batch in itertools.islice(loop._batches(made), 40)}
    assert seen == {1, 4, 2}


def test_a_further_resolution_that_is_not_smaller_is_passed_over(base, tmp_path):
    made, _ = state(tmp_path, base, further_resolutions=(128, 256))
    assert made.cache.views == {} and len(made.cache.pictures) == 3


def test_one_resolution_is_as_it_always_was(base, tmp_path):
    made, _ = state(tmp_path, base)
    assert made.cache.views == {} and len(made.cache.pictures) == 3
    with pytest.raises(ValueError, match="less than or equal"):
        TrainSettings(further_resolutions=(5000,))


def test_each_picture_is_moved_by_up_to_half_a_cell_behind_all_that_are_not(base, tmp_path):
    made, events = state(tmp_path, base, moved_views=3, further_resolutions=(64,))
    framings = made.cache.framings
    assert len(framings) == 4 * 6 and all(one.moved == (0, 0) for one in framings[:6])
    moves = [one.moved for one in framings[6:]]
    assert len(set(moves)) > 6 and {abs(px) for move in moves for px in move} <= set(range(5))
    again, _ = state(tmp_path, base, moved_views=3, further_resolutions=(64,))
    assert framings == again.cache.framings, "a run that goes on sees others"
    assert not any(isinstance(one, Note) for one in events)


def test_a_round_sees_each_picture_in_all_views_as_often_as_its_repeats_say(base, tmp_path):
    made, _ = state(tmp_path, base, moved_views=3)
    of_a_round = 4 * (2 + 1 + 1)
    found = Counter(batch[0] % 3 for batch in itertools.islice(loop._batches(made), 2 * of_a_round))
    assert found == {0: 16, 1: 8, 2: 8}


def test_what_is_moved_shows_other_cells_and_is_mirrored_beyond_its_edge():
    ramp = np.arange(64, dtype=np.uint8)[None, :, None].repeat(64, 0).repeat(3, 2)
    moved = Framing((64, 64), (64, 64), moved=(3, -2))
    row = np.asarray(buckets.fit(Image.fromarray(ramp), moved))[0, :, 0]
    assert row.tolist() == [*range(3, 64), 62, 61, 60]
    column = np.asarray(buckets.fit(Image.fromarray(ramp.transpose(1, 0, 2)), moved))[:, 0, 0]
    assert column.tolist() == [2, 1, *range(62)]
    grey = buckets.fit(Image.fromarray(ramp[..., 0]), moved)  # as masks are
    assert np.asarray(grey)[0].tolist() == row.tolist()
    back = buckets.fit(Image.fromarray(ramp[:, ::-1]), moved.mirrored)
    assert np.array_equal(np.asarray(back)[:, ::-1], np.asarray(buckets.fit(Image.fromarray(ramp), moved)))


def test_pixel_art_stays_on_its_grid_and_that_is_said(base, tmp_path):
    rng = np.random.default_rng(0)
    squares = Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8))
    job = tiny.job(tmp_path, base, moved_views=2)
    squares.resize((128, 128), Image.Resampling.NEAREST).save(Path(job.pictures[0].path))
    encoded, events = tiny.outcome(cache.build(job, family("sd1"), [], CPU, torch.float32))
    assert sum(one.moved != (0, 0) for one in encoded.framings) <= 2 * (len(job.pictures) - 1)
    assert 0 not in encoded.views and len(encoded.views) == len(job.pictures) - 1
    notes = [one.text for one in events if isinstance(one, Note)]
    assert notes == ["1 picture is pixel art, which is learnt on its grid and not moved."]


@pytest.mark.parametrize(
    ("side", "by", "expected"),
    [
        (32, Image.Resampling.NEAREST, True),
        (32, Image.Resampling.BICUBIC, False),  # soft edges: no grid to keep
        (3, Image.Resampling.NEAREST, False),  # a few straight lines lie so by chance
        (120, Image.Resampling.NEAREST, False),  # its own pixels are the grid
    ],
)
def test_pixel_art_is_told_by_where_its_colours_change(side, by, expected):
    small = Image.fromarray(np.random.default_rng(1).integers(0, 255, (side, side, 3), dtype=np.uint8))
    assert views.on_a_grid(small.resize((120 if side != 32 else 96,) * 2, by)) is expected
    assert not views.on_a_grid(Image.new("RGB", (64, 64), "red"))
