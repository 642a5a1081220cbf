"""The cover of a LoRA, from wherever there is one; those of strangers come out of the sandbox or not at all."""

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from lora_gui.studio.library import covers, notes, shelf
from lora_gui.studio.library.beside import beside
from tests import making


def picture(colour, kind="PNG"):
    data = io.BytesIO()
    Image.new("RGB", (96, 80), colour).save(data, kind)
    return data.getvalue()


def cover(studio, decode=True):
    (card,) = shelf.shelf(studio).cards
    if decode:
        covers.decode(studio, [card])
    return covers.cover(studio, card)


def colour(path):
    with Image.open(path) as image:
        return image.convert("RGB").getpixel((5, 5))


def test_a_cover_is_beside_the_file_or_in_it_or_of_its_run_or_the_newest_drawing(studio):
    path = making.lora(studio, "fox")
    assert cover(studio) is None
    drawn = making.drawing(studio, "1", "fox")
    assert cover(studio) == drawn
    made = making.run(studio, "fox", path)
    made.summary()
    made.files.samples.mkdir()
    sample = made.files.samples / covers.SAMPLE
    sample.write_bytes(picture("blue"))
    assert cover(studio) == sample
    notes.change(studio, "fox", step=10)  # the run's last sample shows another state
    assert cover(studio) == drawn
    within = "data:image/jpeg;base64," + base64.b64encode(picture("red", "JPEG")).decode()
    making.lora(studio, "fox", **{"modelspec.thumbnail": within})
    assert cover(studio, decode=False) == drawn  # not looked at yet
    assert colour(cover(studio))[1] < 20
    path.with_name("fox.preview.png").write_bytes(picture("lime"))
    assert colour(cover(studio)) == (0, 255, 0)


def test_a_cover_whose_ending_is_in_capitals_is_seen_and_goes_where_its_lora_goes(studio):
    path = making.lora(studio, "fox")
    loud = path.with_name("fox.PNG")
    loud.write_bytes(picture("lime"))
    assert colour(cover(studio)) == (0, 255, 0) and beside(path) == [loud]


def test_where_capitals_count_for_nothing_each_file_lies_beside_once(tmp_path, monkeypatch):
    small = Path.lstat
    monkeypatch.setattr(Path, "is_file", lambda path: path.suffix.lower() == ".png")
    monkeypatch.setattr(Path, "lstat", lambda path: small(tmp_path))
    assert [one.name for one in beside(tmp_path / "fox.safetensors")] == ["fox.preview.png", "fox.png"]


@pytest.mark.parametrize("data", [b"", b"nonsense", picture("red")[:60]])
def test_a_cover_that_cannot_be_decoded_is_none_and_is_not_tried_again(studio, data, monkeypatch):
    path = making.lora(studio, "fox", **{"modelspec.thumbnail": "data:image/png;base64,AAAA"})
    path.with_name("fox.png").write_bytes(data)
    assert cover(studio) is None
    assert covers.decode(studio, shelf.shelf(studio).cards) is False
