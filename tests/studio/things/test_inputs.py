"""Pictures that a drawing begins with, from strangers' files to our own copies of the drawing's size."""

import numpy as np
import pytest
from PIL import Image

from lora_gui.errors import UserError
from lora_gui.settings import DrawSettings
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import inputs


def made(path, size, colour="red", white=None):
    image = Image.new("RGB", size, colour)
    if white:
        image.paste("white", white)
    image.save(path)
    return str(path)


def asked(**more):
    return DrawSettings(**({"width": 64, "height": 64} | more))


def test_a_picture_and_a_mask_of_other_sizes_are_brought_to_size_and_that_is_said(tmp_path):
    studio = Studio(tmp_path / "studio")
    picture = made(tmp_path / "a.jpg", (200, 100))
    mask = made(tmp_path / "m.png", (100, 100), "black", (50, 0, 100, 100))
    settings, notes = inputs.prepared(studio, asked(picture=picture, mask=mask))
    assert notes == [
        "The picture of 200 x 100 was brought to the drawing's 64 x 64, and cut where it has another shape.",
        "The mask of 100 x 100 was stretched over the picture of 200 x 100.",
    ]
    with Image.open(settings.picture) as kept, Image.open(settings.mask) as white:
        assert kept.size == white.size == (64, 64)
        values = np.array(white)
    assert {*np.unique(values)} == {0, 255} and values[:, :31].max() == 0 and values[:, 33:].min() == 255


def test_a_mask_may_be_small_since_it_is_stretched(tmp_path):
    studio = Studio(tmp_path / "studio")
    picture, mask = made(tmp_path / "a.png", (64, 64)), made(tmp_path / "m.png", (8, 8), "black", (4, 0, 8, 8))
    taken = inputs.take(studio, tmp_path / "m.png", over=inputs.take(studio, tmp_path / "a.png").name)
    assert taken.notes == ["The mask is 8 x 8; it is stretched over the whole picture."]
    settings, _ = inputs.prepared(studio, asked(picture=picture, mask=mask))
    with Image.open(settings.mask) as white:
        assert white.size == (64, 64) and white.getbbox() == (32, 0, 64, 64)


def test_what_fits_is_kept_pixel_for_pixel_once_and_found_again_by_its_name(tmp_path):
    studio = Studio(tmp_path / "studio")
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    first, notes = inputs.prepared(studio, asked(picture=str(tmp_path / "a.png")))
    again, _ = inputs.prepared(studio, first)
    assert first == again and notes == []
    with Image.open(first.picture) as kept:
        assert np.array_equal(np.array(kept), noise)
    name = first.picture.rpartition("/")[2]
    assert inputs.found(studio, name) == first.picture
    assert inputs.found(studio, "../../" + name) == first.picture and inputs.found(studio, "gone.png") == ""


def test_a_mask_alone_a_black_one_and_what_is_no_picture_are_refused(tmp_path):
    studio = Studio(tmp_path / "studio")
    black = made(tmp_path / "m.png", (64, 64), "black")
    (tmp_path / "no.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match="A mask needs a picture"):
        inputs.prepared(studio, asked(mask=black))
    with pytest.raises(UserError, match="no white in it"):
        inputs.prepared(studio, asked(picture=black, mask=black))
    with pytest.raises(UserError, match=r"no\.png"):
        inputs.prepared(studio, asked(picture=str(tmp_path / "no.png")))
