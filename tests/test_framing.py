"""Sizes that pictures are learnt at: little of any is cropped, and hardly a pixel is left out."""

import math

import pytest

from lora_gui import families
from lora_gui.errors import UserError
from lora_gui.framing import ENLARGED, Framing, bucket, frame
from tests.bench.buckets import figures

FACTS = families.facts()
U_NETS = {"sd1", "sdxl", "kandinsky22", "wuerstchen"}
GRIDS = {(facts.cell, facts.bucket_step) for facts in FACTS.values()}


@pytest.mark.parametrize("key", FACTS)
def test_every_family_crops_little_and_learns_nearly_all_pixels_it_may(key):
    facts = FACTS[key]
    single, several = (figures(facts, facts.resolution, batch_size) for batch_size in (1, 4))
    assert single.cropped <= (0.025 if key in U_NETS else 0.015) and single.area >= 0.95
    assert several.cropped <= 0.035 and several.area >= 0.95
    assert several.sizes <= single.sizes


def test_the_starter_crops_no_more_at_its_own_size():
    one = figures(FACTS["sd1"], 128, 16)
    assert one.cropped <= 0.025 and one.area >= 0.95


@pytest.mark.parametrize(
    ("key", "size", "expected"),
    [
        ("sdxl", (4000, 3000), (1152, 896)),
        ("sdxl", (3000, 4000), (896, 1152)),
        ("sdxl", (1080, 1350), (896, 1152)),
        ("sdxl", (1000, 1000), (1024, 1024)),
        ("sdxl", (832, 1216), (832, 1216)),
        ("sdxl", (500, 500), (512, 512)),
        ("sd1", (127, 127), (128, 128)),
        ("sd1", (4000, 3000), (576, 448)),
        ("flux1", (4000, 3000), (1184, 880)),
        ("kandinsky22", (4000, 3000), (896, 640)),
        ("wuerstchen", (4000, 3000), (1152, 853)),
    ],
)
def test_a_photograph_keeps_its_shape(key, size, expected):
    assert frame(size, FACTS[key].resolution, FACTS[key]).bucket == expected


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize(("cell", "step"), sorted(GRIDS))
@pytest.mark.parametrize("resolution", [512, 1024])
def test_no_size_is_too_large_or_off_the_grid_and_photographs_are_hardly_enlarged(resolution, cell, step, batch_size):
    for width in range(257, 2000, 37):
        for shape in (1, 1.25, 4 / 3, 1.5, 16 / 9, 2):
            size = (width, round(width / shape))
            found = bucket(size, resolution, cell, step, batch_size)
            assert math.prod(found) <= resolution**2
            assert all(round(round(side / cell) * cell) == side for side in found)
            if cell < 32:
                one = Framing(size, found)
                assert one.scale <= ENLARGED and one.cropped <= 0.06, (size, found)
                assert math.prod(found) >= 0.89 * min(math.prod(size), resolution**2), (size, found)


def test_small_pictures_are_learnt_at_nearly_all_the_pixels_they_have():
    for side in range(64, 1100):
        for cell, step in GRIDS:
            one = Framing((side, side), bucket((side, side), 1024, cell, step))
            least = 0.93 if cell < 32 and side > 150 else 0.65
            assert one.bucket[0] >= least * min(side, 1024) and one.scale <= 1.5, one


def test_larger_batches_share_sizes_where_single_pictures_have_their_own():
    sizes = [(3000, 2000 + 20 * n) for n in range(20)]
    counts = [len({frame(size, 1024, FACTS["flux1"], batch_size).bucket for size in sizes}) for batch_size in (1, 4)]
    assert counts[0] > counts[1]


def test_a_panorama_is_cropped_to_what_every_base_can_see():
    for facts in FACTS.values():
        for size in ((20000, 1000), (1000, 20000)):
            one = frame(size, 1024, facts)
            assert max(one.bucket) < 3072 and 0.4 < one.cropped < 0.7, (facts.key, one)


def test_a_tiny_picture_is_refused():
    with pytest.raises(UserError, match="5 x 100 is too small"):
        bucket((5, 100), 512, 8)


def test_what_is_cropped_and_where_follows_from_the_two_sizes():
    one = Framing((300, 100), (50, 50))
    assert one.scale == 0.5 and one.scaled == (150, 50) and one.corner == (50, 0)
    assert one.cropped == pytest.approx(2 / 3)
    assert Framing((64, 64), (64, 64)).cropped == 0


@pytest.mark.parametrize("original", [(1001, 700), (640, 1123), (97, 64)])
def test_the_middle_is_cropped_as_it_always_was_and_a_place_moves_it_to_the_edges(original):
    middle = Framing(original, (64, 64))
    over = [side - to for side, to in zip(middle.scaled, middle.bucket, strict=True)]
    assert middle.corner == (over[0] // 2, over[1] // 2)
    assert Framing(original, (64, 64), (0, 0)).corner == (0, 0)
    assert Framing(original, (64, 64), (1, 1)).corner == tuple(over)
