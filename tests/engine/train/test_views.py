"""Several resolutions of a picture: each is encoded, and a round sees each as often."""

import itertools
from collections import Counter

import pytest
import torch

from lora_gui.engine.train import cache, loop, masks
from lora_gui.engine.train.step import TrainState
from lora_gui.families import family
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
