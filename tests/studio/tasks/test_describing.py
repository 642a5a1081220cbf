"""Pictures that are being described: begun once, given up, and what was said until then."""

import time

import pytest
from PIL import Image

from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import captioning
from lora_gui.studio.tasks.describing import Describing
from lora_gui.studio.things import caption_edits, pictures
from tests import making
from tests.tiny_captioners import TEXTS


@pytest.fixture
def studio(tmp_path):
    return Studio(tmp_path / "studio")


@pytest.fixture
def found(studio, tmp_path):
    folder = tmp_path / "given"
    folder.mkdir()
    for number in range(4):
        Image.new("RGB", (90, 80), [*TEXTS][number % 2]).save(folder / f"IMG_{number} red fox.png")
    (folder / "IMG_0 red fox.txt").write_text("by hand")
    return pictures.import_pictures(studio, [folder])[0]


def ended(work):
    until = time.monotonic() + 120
    while work.now.goes_on:
        assert time.monotonic() < until
        time.sleep(0.02)
    return work.now


def suggested(found, work, goal="style", trigger="zxy"):
    return caption_edits.described(pictures.load(found.folder), work.texts, goal, trigger)


def test_pictures_without_a_caption_are_described_and_one_by_hand_stays(studio, found, taught):
    work = Describing(studio)
    work.describe(found, taught, "style", "", also=False, slow=False)
    with pytest.raises(UserError, match="being done already"):
        work.take_names(found, also=False)
    would, silent = suggested(found, ended(work))
    assert [(one.file, one.was, one.becomes) for one in would] == [
        ("0002.png", "", "red fox in snow"), ("0003.png", "", "woman in garden"), ("0004.png", "", "red fox in snow")
    ] and not silent  # fmt: skip
    assert [one.caption for one in pictures.load(found.folder).pictures] == ["by hand", "", "", ""]
    assert caption_edits.accept(pictures.load(found.folder), would) == (3, 0)
    with pytest.raises(UserError, match="Every picture has a caption"):
        work.describe(pictures.load(found.folder), taught, "style", "", also=False, slow=False)


def test_a_caption_that_was_typed_meanwhile_gets_no_suggestion(studio, found, taught):
    work = Describing(studio)
    work.describe(found, taught, "style", "", also=True, slow=False)
    ended(work)
    making.captioned(pictures.load(found.folder), ["by hand", "typed", "", ""])
    assert [one.file for one in suggested(found, work.now)[0]] == ["0001.png", "0003.png", "0004.png"]
    work.forget(["0001.png", "0003.png"])
    assert [one.file for one in suggested(found, work.now)[0]] == ["0004.png"]


def test_what_a_goal_does_not_want_is_counted(studio, found, taught):
    work = Describing(studio)
    work.describe(found, taught, "character", "", also=False, slow=False)
    would, silent = suggested(found, ended(work), "character")
    assert [one.becomes for one in would] == ["in snow", "in garden", "in snow"] and not silent
    work.now.said[1] = "an old man with a beard"
    would, silent = suggested(found, work.now, "character")
    assert len(would) == 2 and silent == 1


def test_given_up_in_the_middle_what_was_said_is_offered(studio, found, taught, monkeypatch):
    work, describe = Describing(studio), captioning.describe

    def given_up(of, job, said, say):
        def saying(words):
            if said:
                work.cancel()
            say(words)

        return describe(of, job, said, saying)

    monkeypatch.setattr(captioning, "describe", given_up)
    work.describe(found, taught, "style", "", also=True, slow=False)
    now = ended(work)
    assert now.notes == ["Cancelled; 1 of 4 pictures were described by then."] and not now.problem
    assert len(suggested(found, now)[0]) == 1


def test_a_set_that_is_deleted_meanwhile_is_a_sentence(studio, found, taught):
    for one in found.pictures:
        one.path.unlink()
    work = Describing(studio)
    work.describe(found, taught, "style", "", also=True, slow=False)
    now = ended(work)
    assert now.problem and "not there any more" in now.problem.what and not now.said


def test_names_of_files_are_read_at_once_without_their_numbers(studio, found):
    work = Describing(studio)
    work.take_names(found, also=False)
    assert [one.becomes for one in suggested(found, work.now)[0]] == ["red fox"] * 3


def test_a_download_that_cannot_begin_is_a_sentence(studio, monkeypatch):
    (studio.captioners / "blip-base").mkdir(parents=True)
    work = Describing(studio)
    work.fetch("blip-base")
    now = ended(work)
    assert now.problem and "no whole captioner" in now.problem.what
