"""The sizes that a base likes."""

import pytest

from lora_gui import families
from lora_gui.errors import UserError
from lora_gui.protocol.jobs import Base
from lora_gui.settings import DrawSettings, check
from lora_gui.studio.tasks.order import check_size
from lora_gui.studio.things import ratios

BASES = [
    Base(key=known.key, title=known.title, family=key, path="")
    for key, facts in families.facts().items()
    for known in facts.bases
]


@pytest.mark.parametrize("base", BASES, ids=lambda base: base.key)
def test_every_ratio_has_a_size_that_can_be_drawn_with_about_as_many_pixels(base):
    square = ratios.sizes(base)["1:1"]
    for ratio, (width, height) in ratios.sizes(base).items():
        check_size(base, check(DrawSettings, {"width": width, "height": height}))
        wide, high = map(int, ratio.split(":"))
        assert abs(width / height / (wide / high) - 1) < 0.2, ratio
        assert 0.85 < width * height / (square[0] * square[1]) < 1.2, ratio


def test_sdxl_draws_at_the_sizes_that_it_was_made_for():
    base = next(base for base in BASES if base.family == "sdxl")
    assert ratios.size(base, "1:1") == (1024, 1024) and ratios.size(base, "16:9") == (1344, 768)
    with pytest.raises(UserError, match="no ratio '16-9'.*16:9"):
        ratios.size(base, "16-9")


def test_a_picture_is_drawn_over_at_its_own_size_unless_that_is_far_from_the_bases():
    base = next(base for base in BASES if base.key == "sd15")
    assert ratios.like(base, (512, 640)) == (512, 640) and ratios.like(base, (515, 641)) == (512, 640)
    width, height = ratios.like(base, (4000, 3000))
    assert (width, height) == (592, 440)
    assert ratios.like(base, (20, 20)) == (512, 512)
