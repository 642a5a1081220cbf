"""Picture sets are named, added to and split, and stay folders that any program can read."""

import os
import threading
import time

import pytest
from PIL import Image

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import picture_index, pictures, set_changes, set_edits, set_work


@pytest.fixture
def studio(tmp_path):
    return Studio(tmp_path / "studio")


def inbox(tmp_path, name, *colours):
    folder = tmp_path / name
    folder.mkdir()
    for colour in colours:
        Image.new("RGB", (96, 80), colour).save(folder / f"{colour}.png")
        (folder / f"{colour}.txt").write_text(f"it is {colour}")
    return folder


def told(folder):
    return [(one.label, one.caption) for one in pictures.load(folder).pictures]


def test_a_set_takes_a_name_and_refuses_none(studio, tmp_path):
    made, _ = pictures.import_pictures(studio, [inbox(tmp_path, "a", "red")])
    set_work.rename(made.folder, "  My \n foxes ")
    assert pictures.sets(studio)[0].title == "My foxes"
    with pytest.raises(UserError, match="needs a name"):
        set_work.rename(made.folder, " ")


def test_pictures_are_added_with_their_captions_and_digests_and_what_is_refused_is_named(studio, tmp_path):
    made, _ = pictures.import_pictures(studio, [inbox(tmp_path, "a", "red", "blue")])
    more = inbox(tmp_path, "10_fox", "green")
    (more / "bad.png").write_bytes(b"no")
    grown, refused = set_work.add(studio, made.folder, [more])
    assert told(made.folder) == [("blue.png", "it is blue"), ("red.png", "it is red"), ("green.png", "it is green")]
    assert [one.repeats for one in grown.pictures] == [1, 1, 10] and all(one.digest for one in grown.pictures)
    assert "bad.png" in refused[0] and pictures.picture_sets(studio) == [made.folder]
    picture_index.check(made.folder)
    Image.new("RGB", (200, 120), "teal").save(made.folder / "0003.png")
    assert [bool(one.digest) for one in pictures.load(made.folder).pictures] == [True, True, False]
    assert [bool(one.digest) for one in set_work.split(studio, made.folder, [1, 3], "b").pictures] == [True, False]


def test_some_pictures_count_more_often_through_split_and_run_and_that_can_be_taken_back(studio, tmp_path):
    made, _ = pictures.import_pictures(studio, [inbox(tmp_path, "a", "red", "blue", "green")])
    found = set_work.repeat(made.folder, [1, 3], 5)
    assert [one.repeats for one in found.pictures] == [5, 1, 5]
    assert [one.learnt().repeats for one in found.pictures] == [5, 1, 5]
    picture_index.check(made.folder)
    other = set_work.split(studio, made.folder, [3], "one")
    assert [one.repeats for one in other.pictures] == [5]
    set_changes.undo(made.folder)
    set_changes.undo(made.folder)
    assert [one.repeats for one in pictures.load(made.folder).pictures] == [1, 1, 1]
    for numbers, times in (([], 2), ([9], 2), ([1], 0), ([1], 1000)):
        with pytest.raises(UserError, match="no picture of that number|can count 1 to 999 times"):
            set_work.repeat(made.folder, numbers, times)


def test_captions_of_several_lines_stay_so_in_a_set_that_is_split_off(studio, tmp_path):
    made, _ = pictures.import_pictures(studio, [inbox(tmp_path, "a", "red", "blue")])
    set_edits.caption(made.folder, 1, "a red one\nseen from the side")
    found = set_work.split(studio, made.folder, [1], "one").pictures[0]
    assert found.lines == ("a red one", "seen from the side") and found.caption == "a red one seen from the side"


def test_a_set_is_split_in_two_and_that_can_be_taken_back(studio, tmp_path):
    made, _ = pictures.import_pictures(studio, [inbox(tmp_path, "a", "red", "blue", "green")])
    other = set_work.split(studio, made.folder, [1, 3], "two of them")
    assert (other.title, told(other.folder)) == ("two of them", [("blue.png", "it is blue"), ("red.png", "it is red")])
    assert told(made.folder) == [("green.png", "it is green")]
    for folder in (made.folder, other.folder):
        picture_index.check(folder)
    set_changes.undo(made.folder)
    assert len(told(made.folder)) == 3
    for wrong in ([], [9], [1, 2, 3]):
        with pytest.raises(UserError, match="split into two"):
            set_work.split(studio, made.folder, wrong, "x")


def test_while_a_set_is_copied_to_be_split_it_can_be_changed_which_is_not_lost(studio, tmp_path, monkeypatch):
    made, _ = pictures.import_pictures(studio, [inbox(tmp_path, "a", "red", "blue", "green")])
    monkeypatch.setattr(set_changes, "_PATIENCE", 0.1)
    copy = files.copy

    def changed(act):
        def copied(source, target):
            act()
            copy(source, target)

        monkeypatch.setattr(files, "copy", copied)

    changed(lambda: set_work.rename(made.folder, "foxes"))
    other = set_work.split(studio, made.folder, [1], "one")
    assert len(told(made.folder)) == 2 and len(told(other.folder)) == 1
    changed(lambda: set_work.repeat(made.folder, [2], 5))
    with pytest.raises(UserError, match="changed meanwhile"):
        set_work.split(studio, made.folder, [2], "x")
    assert len(told(made.folder)) == 2 and len(pictures.sets(studio)) == 2


def meanwhile(monkeypatch, mine, others):
    """Do `mine`, and `others` from other threads, which begin once the list that `mine` will write is made."""
    written, begun = picture_index.written, []
    threads = [threading.Thread(target=one) for one in others]

    def slow(index):
        if not begun and len(index.labels) > 4:  # and not that of a new set
            begun.append(index)
            for thread in threads:
                thread.start()
            time.sleep(0.5)  # as of a disk that wakes up; without a lock the others are through by then
        return written(index)

    with monkeypatch.context() as during:
        during.setattr(picture_index, "written", slow)
        mine()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("mine", [
    lambda studio, folder, more: set_work.rename(folder, "foxes"),
    lambda studio, folder, more: set_work.repeat(folder, [1], 3),
    lambda studio, folder, more: set_work.add(studio, folder, [more]),
    lambda studio, folder, more: set_work.split(studio, folder, [1], "one"),
    lambda studio, folder, more: set_edits.take_out(studio, folder, [1]),
    lambda studio, folder, more: set_edits.put_back(folder, 4),
    lambda studio, folder, more: set_edits.crop(folder, 1, (0.0, 0.25)),
], ids=["rename", "repeat", "add", "split", "take out", "put back", "crop"])  # fmt: skip
def test_changes_at_the_same_time_are_one_after_the_other_and_none_is_lost(studio, tmp_path, monkeypatch, mine):
    made, _ = pictures.import_pictures(studio, [inbox(tmp_path, "a", "red", "blue", "green", "gold", "white")])
    more, other = inbox(tmp_path, "b", "black"), inbox(tmp_path, "c", "pink", "cyan")
    folder = made.folder
    set_edits.take_out(studio, folder, [4])
    before = len(set_changes.history(folder))
    others = [lambda: set_work.repeat(folder, [2], 7), lambda: set_work.add(studio, folder, [other])]
    meanwhile(monkeypatch, lambda: mine(studio, folder, more), others)
    picture_index.check(folder)
    found = {one.label: one for one in pictures.load(folder).pictures}
    assert found["gold.png"].repeats == 7 and {"pink.png", "cyan.png"} <= set(found)
    assert len(set_changes.history(folder)) == before + 3
    assert len(found) + len(picture_index.read(folder).removed) == len(picture_index.read(folder).labels)
    for _ in range(3):
        set_changes.undo(folder)
    left = {one.label for one in pictures.load(folder).pictures}
    assert left == {"blue.png", "gold.png", "green.png", "white.png"}


def test_a_set_is_read_again_where_it_was_changed_meanwhile_also_on_drives_of_coarse_times(studio, tmp_path):
    made, _ = pictures.import_pictures(studio, [inbox(tmp_path, "a", "red", "blue")])
    set_work.rename(made.folder, "foxes")
    changes, left = made.folder / set_changes.FOLDER, [set_work.repeat, None]

    def read():
        if (act := left.pop(0)) is not None:
            act(made.folder, [1], 2)
            os.utime(changes, (0, 1_800_000_000))
        return len(left)

    os.utime(changes, (0, 1_800_000_000))
    assert set_changes.between(made.folder, read) == 0


def test_a_set_that_is_not_there_is_not_made_by_a_change(studio):
    with pytest.raises(UserError, match="not in your studio any more"):
        set_work.rename(studio.pictures / "gone", "foxes")
    assert not (studio.pictures / "gone").exists()
