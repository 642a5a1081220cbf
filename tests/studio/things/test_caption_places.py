"""Two pictures that differ only in their suffix each have a caption file of their own."""

import pytest
from PIL import Image

from lora_gui.studio.doctor import doctor
from lora_gui.studio.things.caption_places import CaptionPlaces


@pytest.fixture
def folder(tmp_path):
    for name, colour in (("fox.png", "red"), ("fox.webp", "blue"), ("owl.png", "green")):
        Image.new("RGB", (64, 64), colour).save(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("shared", ["", "one for both"])
def test_what_is_written_of_each_is_what_an_import_finds_of_it(folder, shared):
    if shared:
        (folder / "fox.txt").write_text(shared)
    patients = doctor.of_folder(folder)
    places = CaptionPlaces(folder)
    for one in patients:
        (place,) = places.of(one.path, one.caption, replace=True)
        place.write_text(f"of {one.file}")
    assert {one.file: one.caption for one in doctor.of_folder(folder)} == {
        name: f"of {name}" for name in ("fox.png", "fox.webp", "owl.png")
    }
    assert (folder / "fox.txt").exists() == bool(shared) and (folder / "owl.txt").exists()
