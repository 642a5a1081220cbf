"""Pictures brought to size, and the order they come in."""

import itertools
from collections import Counter

import pytest
from PIL import Image

from lora_gui.engine.train import buckets
from lora_gui.framing import Framing


def test_a_picture_is_scaled_to_cover_its_size_and_cut_evenly():
    image = Image.new("RGB", (300, 100), "red")
    image.paste("blue", (80, 0, 220, 100))
    fitted = buckets.fit(image, Framing((300, 100), (50, 50)))
    assert fitted.size == (50, 50)
    assert fitted.getcolors() == [(2500, (0, 0, 255))]


def test_every_picture_comes_equally_often_and_batches_share_a_size():
    sizes = [(64, 64)] * 7 + [(64, 128)] * 3
    drawn = list(itertools.islice(buckets.batches(sizes, 2, seed=1), 100))
    assert all(len({sizes[n] for n in batch}) == 1 for batch in drawn)
    counts = Counter(n for batch in drawn for n in batch)
    assert set(counts) == set(range(10))
    assert max(counts.values()) - min(counts.values()) <= 2


def test_a_picture_that_counts_ten_times_comes_ten_times_as_often():
    sizes, repeats = [(64, 64)] * 3 + [(64, 128)] * 2, [10, 1, 1, 10, 2]
    drawn = list(itertools.islice(buckets.batches(sizes, 2, 1, repeats), 1200))
    counts = Counter(n for batch in drawn for n in batch)
    for number, times in enumerate(repeats):
        assert counts[number] == pytest.approx(100 * times, rel=0.05)
    assert all(len({sizes[n] for n in batch}) == 1 for batch in drawn)


@pytest.mark.parametrize("times", [1, 7])
def test_repeats_that_all_pictures_share_change_no_order(times):
    sizes = [(64, 64)] * 5 + [(64, 128)] * 3
    plain, counted = buckets.batches(sizes, 2, 3), buckets.batches(sizes, 2, 3, [times] * 8)
    assert list(itertools.islice(plain, 50)) == list(itertools.islice(counted, 50))


def test_the_order_follows_from_the_seed_alone():
    def order(seed, skip):
        return list(itertools.islice(buckets.batches([(64, 64)] * 5, 3, seed), skip, 20))

    assert order(1, 0)[8:] == order(1, 8)
    assert order(1, 0) != order(2, 0)
