"""What is kept of pictures is PNG like any other, to the pixel."""

import io

import numpy as np
import pytest
from PIL import Image

from lora_gui.studio.sandbox.picture_decode import KEPT, kept
from lora_gui.studio.sandbox.quick_png import encoded


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (300, 1), (301, 64)])
def test_every_size_comes_back_to_the_pixel(size):
    pixels = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8)
    with Image.open(io.BytesIO(encoded(Image.fromarray(pixels))), formats=("PNG",)) as image:
        assert image.mode == "RGB" and np.array_equal(np.asarray(image), pixels)


def test_no_more_pixels_are_kept_than_are_ever_learnt_but_of_what_is_long():
    assert kept(Image.new("RGB", (2000, 2000))).size == (2000, 2000)
    small = kept(Image.new("RGB", (4000, 3000))).size
    assert KEPT * 0.99 < small[0] * small[1] <= KEPT * 1.01 and abs(small[0] / small[1] - 4 / 3) < 0.002
    assert kept(Image.new("RGB", (12000, 1000))).size == (12000, 1000)
