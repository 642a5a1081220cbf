"""What is done to single pictures of a set stands on the disk at once, and each can be taken back."""

import threading
import time

import pytest
from PIL import Image

from lora_gui.errors import UserError
from lora_gui.framing import MIDDLE
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import picture_index, pictures, set_changes, set_edits, set_work


@pytest.fixture
def studio(tmp_path):
    return Studio(tmp_path / "studio")


@pytest.fixture
def folder(studio, tmp_path):
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for colour in ("blue", "green", "red"):
        Image.new("RGB", (96, 80), colour).save(inbox / f"{colour}.png")
        (inbox / f"{colour}.txt").write_text(f"it is {colour}")
    return pictures.import_pictures(studio, [inbox])[0].folder


def captions(folder):
    return [one.caption for one in pictures.load(folder).pictures]


def test_a_set_without_a_name_is_called_by_how_many_pictures_it_has_now(studio, tmp_path):
    paths = [tmp_path / f"{colour}.png" for colour in ("blue", "red")]
    for path in paths:
        Image.new("RGB", (96, 80), path.stem).save(path)
    made = pictures.import_pictures(studio, paths)[0]
    assert made.title == "2 pictures"
    set_edits.take_out(studio, made.folder, [1])
    assert pictures.load(made.folder).title == "1 picture" == pictures.sets(studio)[0].title
    set_work.rename(made.folder, "foxes 2")
    assert pictures.load(made.folder).title == "foxes 2"


def test_what_is_typed_into_one_caption_is_one_change(folder):
    for words in ("a", "a sea", "a sea at night"):
        assert set_edits.caption(folder, 1, words, "typing 1") == words
        assert (folder / "0001.txt").read_text() == words
    set_edits.caption(folder, 2, "grass", "typing 2")
    assert [one.says for one in set_changes.history(folder)] == [
        "The caption of blue.png was changed.", "The caption of green.png was changed."
    ]  # fmt: skip
    set_changes.undo(folder)
    set_changes.undo(folder)
    assert captions(folder) == ["it is blue", "it is green", "it is red"]
    set_changes.redo(folder)
    assert captions(folder)[0] == "a sea at night"


def test_a_crop_is_kept_with_its_picture_and_can_be_taken_back(studio, folder):
    set_edits.crop(folder, 2, (0.0, 0.25), "drag 1")
    set_edits.crop(folder, 2, (1.0, 0.25), "drag 1")
    assert [one.crop for one in pictures.load(folder).pictures] == [MIDDLE, (1.0, 0.25), MIDDLE]
    picture_index.check(folder)
    other = set_work.split(studio, folder, [2, 3], "two")
    assert [one.crop for one in other.pictures] == [(1.0, 0.25), MIDDLE]
    set_changes.undo(folder)
    assert set_changes.undo(folder) == "The crop of green.png was moved."
    assert pictures.load(folder).pictures[1].crop == MIDDLE
    with pytest.raises(UserError, match="cannot be cropped there"):
        set_edits.crop(folder, 2, (1.5, 0))


def test_a_picture_taken_out_comes_back_by_itself_or_by_undo(studio, folder):
    set_edits.take_out(studio, folder, [2])
    set_edits.caption(folder, 1, "the sea")
    assert [(one.number, one.label) for one in set_edits.taken_out(folder)] == [(2, "green.png")]
    set_edits.put_back(folder, 2)
    assert captions(folder) == ["the sea", "it is green", "it is red"] and set_edits.taken_out(folder) == []
    for _ in range(3):
        set_changes.undo(folder)
    assert captions(folder) == ["it is blue", "it is green", "it is red"]
    picture_index.check(folder)
    with pytest.raises(UserError, match="one picture at least"):
        set_edits.take_out(studio, folder, [1, 2, 3])
    with pytest.raises(UserError, match="cannot be put back"):
        set_edits.put_back(folder, 2)


def test_pictures_added_after_a_change_survive_that_it_is_taken_back(studio, folder, tmp_path):
    set_edits.take_out(studio, folder, [1])
    more = tmp_path / "more"
    more.mkdir()
    Image.new("RGB", (96, 80), "orange").save(more / "orange.png")
    set_work.add(studio, folder, [more])
    assert [one.label for one in pictures.load(folder).pictures] == ["green.png", "red.png", "orange.png"]
    assert set_changes.undo(folder) == "1 picture was added."
    assert set_changes.undo(folder) == "blue.png was taken out."
    set_changes.redo(folder)
    set_changes.redo(folder)
    assert [one.label for one in pictures.load(folder).pictures] == ["green.png", "red.png", "orange.png"]


def test_a_set_that_is_read_while_it_is_changed_is_as_it_was_before_or_after(folder, monkeypatch):
    index = folder / "set.json"  # which is changed with them, as by a crop
    contents = {f"{n:04}.txt": b"now" for n in (1, 2, 3)} | {index.name: index.read_bytes() + b"\n"}
    set_changes.do(folder, "All were changed.", contents)
    ended, read = threading.Event(), pictures.read_lines
    monkeypatch.setattr(pictures, "read_lines", lambda path: (time.sleep(0.002), read(path))[1])  # as of a slow disk

    def back_and_forth():
        for _ in range(15):
            for step in (set_changes.undo, set_changes.redo):
                step(folder)
                time.sleep(0.01)
        ended.set()

    other = threading.Thread(target=back_and_forth)
    other.start()
    found = set()
    while not ended.is_set():
        found.add(tuple(captions(folder)))
    other.join()
    assert found <= {("now", "now", "now"), ("it is blue", "it is green", "it is red")}
