"""What of each picture is cropped and enlarged, told before anything is learnt."""

from pathlib import Path

import pytest
from PIL import Image

from lora_gui.formats import png
from lora_gui.settings import TrainSettings
from lora_gui.studio.things import framings
from lora_gui.studio.things.pictures import Picture

AT_1024 = TrainSettings(resolution=1024)


def told(sizes, family="sdxl", settings=AT_1024):
    found = framings.framed([(f"{n}.jpg", size) for n, size in enumerate(sizes)], family, settings)
    return framings.sentence(found, settings.resolution), framings.lines(found)


def test_photographs_of_which_little_is_lost_need_no_more_than_a_word():
    sentence, lines = told([(4000, 3000), (1000, 1000)])
    assert sentence == "2 pictures at 1024 px: hardly anything is cropped."
    assert lines == [
        "0.jpg, 4000 x 3000: learnt at 1152 x 896, 4 % cropped",
        "1.jpg, 1000 x 1000: learnt at 1024 x 1024, enlarged x 1.02",
    ]


def test_what_is_cropped_small_or_gone_is_counted_and_the_worst_stands_first():
    sentence, lines = told([(500, 500), (9000, 600), (1024, 1024), None, (400, 300)])
    assert sentence == (
        "5 pictures at 1024 px: 1 is cropped by more than 5 %, 2 are smaller than 1024 x 1024 and learnt that small, "
        "1 is too small or unreadable."
    )
    assert lines[0] == "3.jpg: it cannot be read any more"
    assert lines[1].startswith("1.jpg, 9000 x 600: learnt at ") and "cropped" in lines[1]


def test_enlarging_is_told_where_a_family_has_no_smaller_step():
    sentence, lines = told([(96, 96)], "kandinsky22", TrainSettings(resolution=768))
    assert "1 is enlarged, up to x 1.33" in sentence and lines[0].endswith("enlarged x 1.33")


def test_base_resolution_and_batch_change_what_is_told():
    size = [(3000, 2260)]
    plain = told(size, "flux1")
    others = [
        told(size, "sdxl"),
        told(size, "flux1", TrainSettings(resolution=768)),
        told(size, "flux1", TrainSettings(resolution=1024, batch_size=4)),
    ]
    assert all(other != plain for other in others)


def test_a_long_list_ends_in_a_number():
    _, lines = told([(1024, 1024)] * 205)
    assert len(lines) == 201 and lines[-1].startswith("5 more")


def test_sizes_are_read_from_the_first_bytes_alone(tmp_path):
    whole = tmp_path / "whole.png"
    Image.new("RGB", (300, 170)).save(whole)
    cut = tmp_path / "cut.png"
    cut.write_bytes(whole.read_bytes()[:24])
    for name, data in {"other.png": b"\xff\xd8\xff" + bytes(40), "short.png": b"\x89PNG", "empty.png": b""}.items():
        (tmp_path / name).write_bytes(data)
    files = ["whole.png", "cut.png", "other.png", "short.png", "empty.png", "gone.png"]
    found = framings.sizes(Picture(tmp_path / name, "", name) for name in files)
    assert [size for _, size in found] == [(300, 170), (300, 170), None, None, None, None]


@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_the_size_is_the_one_that_is_decoded(tmp_path, mode):
    Image.new(mode, (37, 91)).save(tmp_path / "one.png")
    assert png.size(Path(tmp_path / "one.png")) == (37, 91)
