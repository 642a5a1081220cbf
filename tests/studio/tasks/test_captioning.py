"""Pictures described in a child: what is said, what is cut short, and what an end before the end leaves."""

import os

import pytest
from PIL import Image

from lora_gui.errors import UserError
from lora_gui.formats import captioners
from lora_gui.protocol.lease import Lease
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import captioning
from tests import tiny_captioners
from tests.tiny_captioners import TEXTS


@pytest.fixture
def pictures(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(6)]
    for number, path in enumerate(paths):
        Image.new("RGB", (80, 70), [*TEXTS][number % 2]).save(path)
    return paths


def test_what_is_said_comes_with_how_far_it_is(taught, pictures, tmp_path):
    said, heard = {}, []
    job = captioning.job_of(taught, pictures, "style")
    notes = captioning.describe(Studio(tmp_path / "studio"), job, said, heard.append)
    assert said == {number: [*TEXTS.values()][number % 2] for number in range(6)} and not notes
    assert "Opening BLIP" in heard and "Describing pictures, 3 of 6, 50 %" in heard


def test_what_was_said_before_it_is_cancelled_stays(taught, pictures, tmp_path):
    said = {}

    def say(words):
        if "3 of" in words:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        captioning.describe(Studio(tmp_path / "studio"), captioning.job_of(taught, pictures, "style"), said, say)
    assert said == {number: [*TEXTS.values()][number % 2] for number in range(3)}


def test_it_waits_for_the_device_and_says_for_whom(taught, pictures, tmp_path):
    studio, heard = Studio(tmp_path / "studio"), []
    lease = Lease(studio.home)
    assert lease.take("a training", lambda who: None)

    def say(words):
        heard.append(words)
        if words.startswith("Waiting"):
            lease.release()

    captioning.describe(studio, captioning.job_of(taught, pictures[:1], "style"), {}, say)
    assert heard.index("Waiting for a training to be done") < heard.index("Opening BLIP")


def test_beside_a_training_the_processor_does_it_at_once(taught, pictures, tmp_path):
    studio, said = Studio(tmp_path / "studio"), {}
    assert Lease(studio.home).take("a training", lambda who: None)
    job = captioning.job_of(taught, pictures[:1], "style", on_processor=True)
    captioning.describe(studio, job, said, lambda words: None)
    assert len(said) == 1


def test_a_set_that_is_deleted_meanwhile_is_a_sentence(taught, pictures, tmp_path):
    for path in pictures:
        path.unlink()
    with pytest.raises(UserError, match="not there any more") as refused:
        captioning.describe(
            Studio(tmp_path / "studio"), captioning.job_of(taught, pictures, "style"), {}, lambda words: None
        )
    assert "Traceback" not in str(refused.value)


def test_a_captioner_that_says_nothing_is_told_of(pictures, tmp_path):
    silent = tiny_captioners.taught(tmp_path / "silent", {"red": "", "blue": "a fox"}, steps=60)
    said = {}
    job = captioning.job_of(captioners.told(silent), pictures, "style")
    notes = captioning.describe(Studio(tmp_path / "studio"), job, said, lambda words: None)
    assert said == {number: "a fox" if number % 2 else "" for number in range(6)}
    assert notes == ["Nothing was said of 3 of 6 pictures."]


def test_ten_thousand_letters_are_cut_at_a_word_and_said():
    text, was_cut = captioning.shortened("a fox " * 2000)
    assert was_cut and len(text) <= captioning.MOST and text.endswith(("a", "fox"))
    assert captioning.shortened("a  fox\n\x00in snow ") == ("a fox in snow", False)
    assert captioning.shortened("x" * 10_000)[0] == "x" * captioning.MOST


def test_strangers_pictures_are_looked_at_upright_and_small_and_nothing_stays(tmp_path):
    large = Image.new("RGB", (2000, 1000), "red")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    large.save(tmp_path / "turned.jpg", exif=exif)
    (tmp_path / "none.png").write_bytes(b"no picture")
    studio = Studio(tmp_path / "studio")
    with captioning.decoded(studio, [tmp_path / "turned.jpg", tmp_path / "none.png"]) as found:
        assert Image.open(found[0]).size == (512, 1024)
        assert isinstance(found[1], UserError)
    assert not os.listdir(studio.cache)
