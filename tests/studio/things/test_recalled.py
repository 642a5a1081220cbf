"""Pictures that come in again have the captions that they were given."""

import pytest
from PIL import Image

from lora_gui.studio.paths import Studio
from lora_gui.studio.things import set_changes
from lora_gui.studio.things.pictures import import_pictures, load
from lora_gui.studio.things.set_work import add, rename
from tests import making


@pytest.fixture
def inbox(tmp_path):
    folder = tmp_path / "inbox"
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (64, 64), (80 * number, 30, 90)).save(folder / f"{number}.png")
    return folder


def captions(found):
    return [one.caption for one in found.pictures]


def test_what_was_written_for_the_same_pixels_is_there_again_and_said(tmp_path, inbox):
    studio = Studio(tmp_path / "studio")
    first, _ = import_pictures(studio, [inbox])
    making.captioned(first, ["fox", "", "a hat\na red hat"])
    (inbox / "2.txt").write_text("what came with it", encoding="utf-8")
    (inbox / "0.png").rename(inbox / "called otherwise.png")
    again, _ = import_pictures(studio, [inbox])
    assert captions(again) == ["", "what came with it", "fox"]
    assert any("1 picture was here before" in remark for remark in again.remarks)


def test_a_caption_that_was_taken_away_by_an_empty_file_stays_away_and_that_is_said(tmp_path, inbox):
    studio = Studio(tmp_path / "studio")
    first, _ = import_pictures(studio, [inbox])
    making.captioned(first, ["fox", "hat", ""])
    (inbox / "0.txt").write_text("\n")
    (inbox / "2.txt").touch()
    again, _ = import_pictures(studio, [inbox])
    assert captions(again) == ["", "hat", ""]
    assert again.remarks == (
        "1 picture was here before: the captions that you had given are there again.",
        "1 picture was here before with a caption, and came with an empty caption file: without one.",
    )


def test_lines_stay_lines_and_the_newest_words_count(tmp_path, inbox):
    studio = Studio(tmp_path / "studio")
    old, _ = import_pictures(studio, [inbox])
    making.captioned(old, ["old words", "", ""])
    (old.folder / "0003.txt").write_text("one\ntwo", encoding="utf-8")
    new, _ = import_pictures(studio, [inbox])
    making.captioned(new, ["new words", "", "one\ntwo"])
    more, _ = add(studio, new.folder, [inbox])
    assert captions(more)[3:] == ["new words", "", "one two"]
    assert load(new.folder).pictures[5].lines == ("one", "two")


def test_a_damaged_set_gives_nothing_and_hinders_nothing(tmp_path, inbox):
    studio = Studio(tmp_path / "studio")
    kept, _ = import_pictures(studio, [inbox])
    making.captioned(kept, ["fox", "hat", ""])
    (kept.folder / "0001.txt").unlink()
    (studio.pictures / "99").mkdir()
    (studio.pictures / "99" / "set.json").write_text("{", encoding="utf-8")
    again, refused = import_pictures(studio, [inbox])
    assert captions(again) == ["", "hat", ""] and not refused


def test_captions_of_a_set_that_is_just_being_changed_are_waited_for(tmp_path, inbox):
    studio = Studio(tmp_path / "studio")
    first, _ = import_pictures(studio, [inbox])
    making.captioned(first, ["fox", "hat", "hat"])
    rename(first.folder, "Foxes")
    change = set_changes.history(first.folder)[0]
    set_changes._begin(change, False, 1)  # what a crash leaves between the first step and the second
    (first.folder / "set.json").rename(change.folder / "set.json.away")
    again, _ = import_pictures(studio, [inbox])
    assert captions(again) == ["fox", "hat", "hat"]
