"""Pictures in several places: which, that they are what the encoder makes of them, and that pixel art stays."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from lora_gui.engine.train import cache, moved
from lora_gui.engine.train.moved import Way
from lora_gui.families import family
from lora_gui.framing import Framing
from lora_gui.protocol.events import Note
from lora_gui.settings import TrainSettings
from tests import tiny

CPU = torch.device("cpu")


def as_pixels(image):
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).float() / 127.5 - 1


def pixel_art(cells, side, seed=0):
    """Coloured squares on one ground, as a sprite."""
    some = np.random.default_rng(seed).integers(0, 256, (cells, cells, 3), np.uint8)
    ground = np.add.outer(*[np.abs(np.arange(cells) - cells / 2)] * 2) > cells / 2
    some[ground] = 255
    large = Image.fromarray(some).resize((cells * 23, cells * 23), Image.Resampling.NEAREST)
    return large.resize((side, side), Image.Resampling.LANCZOS)


def drawing(side):
    image = Image.new("RGB", (side, side), "teal")
    draw = ImageDraw.Draw(image)
    draw.ellipse((side * 0.2, side * 0.1, side * 0.8, side * 0.9), "gold", "black", side // 20)
    draw.line((side * 0.1, side * 0.7, side * 0.9, side * 0.4), "black", side // 30)
    return image.resize((side, side), Image.Resampling.LANCZOS)


def test_what_moves_comes_in_at_one_edge_as_the_edge_is():
    image = torch.arange(12.0).view(1, 3, 4)
    assert Way().of(image) is image
    assert Way(by=(1, 0)).of(image)[0].tolist() == [[0, 0, 1, 2], [4, 4, 5, 6], [8, 8, 9, 10]]
    assert Way(by=(0, -1)).of(image)[0].tolist() == [[4, 5, 6, 7], [8, 9, 10, 11], [8, 9, 10, 11]]
    assert torch.equal(Way(True, (1, -1)).of(image), Way(by=(1, -1)).of(image).flip(-1))


def test_each_picture_has_places_of_its_own_that_follow_from_the_seed():
    pixels, settings = as_pixels(drawing(64)), TrainSettings(moved_views=16, flip=True)
    ways = moved.ways(settings, 3, pixels)
    assert ways[:2] == [Way(), Way(mirrored=True)] and len(ways) == len(set(ways)) == 32
    assert max(abs(px) for way in ways for px in way.by) == 4
    assert ways == moved.ways(settings, 3, pixels) != moved.ways(settings, 4, pixels)
    assert moved.ways(TrainSettings(), 3, pixels) == [Way()]


@pytest.mark.parametrize("side", [128, 512, 1024])
@pytest.mark.parametrize("cells", [8, 16, 32])
def test_pixel_art_stays_and_drawings_move(cells, side):
    if cells * 33 >= min(side, 512):  # squares of which none is larger than is looked for
        assert moved.in_squares(as_pixels(pixel_art(cells, side)))
    assert not moved.in_squares(as_pixels(drawing(side)))
    assert not moved.in_squares(as_pixels(Image.new("RGB", (side, side), "red")))


def test_each_view_is_what_the_encoder_makes_of_the_moved_picture_and_pixel_art_is_said(base, tmp_path):
    job = tiny.job(tmp_path, base, moved_views=3, flip=True)
    pixel_art(16, 64).save(job.pictures[0].path)
    drawing(64).save(job.pictures[1].path)
    encoded, events = tiny.outcome(cache.build(job, family("sd1"), [], CPU, torch.float32))
    assert [len(of) for of in encoded.pictures[:2]] == [2, 6]
    told = [event.text for event in events if isinstance(event, Note)]
    assert told == ["Pixel art is learnt where it lies, not moved: 1 of 4 pictures."]
    pixels = cache._pixels(tmp_path / "pictures" / "0001.png", Framing((64, 64), (64, 64)))
    ways = moved.ways(job.settings, 1, pixels)
    with torch.no_grad():
        encoders = family("sd1").encoders(base, CPU, torch.float32)
        expected = family("sd1").encode_pictures(encoders, torch.stack([way.of(pixels) for way in ways]))
    for variant, mean in zip(encoded.pictures[1], expected["mean"], strict=True):
        torch.testing.assert_close(variant["mean"], mean)
    assert {encoded._framing(1, n) == encoded.framings[1].mirrored for n in (1, 3, 5)} == {True}
