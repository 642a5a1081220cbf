"""The cards of the library: what each LoRA is, where the index stands between, and what is broken."""

import os
from pathlib import Path

import pytest

from lora_gui.errors import UserError
from lora_gui.studio import verify
from lora_gui.studio.library import bin, dropped, notes, scan, shelf
from lora_gui.studio.library.shelf import Wish
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import runs
from lora_gui.studio.things import loras
from tests import making


def names(cards):
    return [card.name for card in cards]


def test_what_is_put_in_or_taken_out_by_hand_shows_up_by_itself_and_is_read_once(studio, monkeypatch):
    making.lora(studio, "fox")
    read = []
    describe = scan.describe
    monkeypatch.setattr(scan, "describe", lambda path: read.append(path.stem) or describe(path))
    assert names(shelf.shelf(studio).cards) == ["fox"] and names(shelf.shelf(studio).cards) == ["fox"]
    assert read == ["fox"]
    owl = making.lora(studio, "owl")
    making.lora(studio, "fox", **{"modelspec.trigger_phrase": "another"})
    os.utime(studio.loras / "fox.safetensors", (1, 1))
    found = shelf.shelf(studio)
    assert names(found.cards) == ["owl", "fox"] and sorted(read) == ["fox", "fox", "owl"]
    assert found.cards[1].info.trigger == "another"
    owl.unlink()
    assert names(shelf.shelf(studio).cards) == ["fox"]


def test_fifty_broken_files_are_named_and_nothing_else_suffers(studio, tell):
    row = tell("Broken files in the folder of the LoRAs")
    for number in range(47):
        (studio.loras / f"broken-{number}.safetensors").write_bytes(os.urandom(64))
    (studio.loras / "empty.safetensors").touch()
    (studio.loras / "folder.safetensors").mkdir()
    (studio.loras / "odd\u202ename.safetensors").write_bytes(b"")
    (studio.loras / "nowhere.safetensors").symlink_to("/nowhere")
    making.lora(studio, "fox")
    found = shelf.shelf(studio)
    broken = [card for card in found.cards if not card.info]
    assert names(card for card in found.cards if card.info) == ["fox"] == [info.name for info in scan.usable(studio)]
    assert len(broken) == 49  # a folder is no file, and a link that leads nowhere is none
    for card in broken:
        with row:
            assert card.what.endswith(".") and card.remedy and "\u202e" not in card.name + card.what
    assert names(shelf.wanted(found.cards, Wish(origin="brought"))) == ["fox"]


def test_an_ending_in_capitals_is_that_of_a_lora_too(studio):
    path = making.lora(studio, "Fox")
    path = path.rename(path.with_suffix(".SAFETENSORS"))
    making.lora(studio, "owl")
    found = shelf.shelf(studio)
    assert sorted(names(found.cards)) == ["Fox", "owl"]
    for name in ("Fox", "Fox.safetensors", "Fox.SAFETENSORS", "fox"):
        assert shelf.named(studio, found, name).path == path == loras.find(studio, name).path
    assert {info.path for info in scan.usable(studio)} == {path, studio.loras / "owl.safetensors"}
    assert path in [one for one, _ in verify._everything(studio)]
    assert [one.name for one in dropped.take(studio, [path]).taken] == [] and len(shelf.shelf(studio).cards) == 2
    gone = bin.delete(studio, path)
    assert [one.path for one in bin.binned(studio)] == [gone.path] and bin.restore(studio, gone) == path


@pytest.mark.parametrize("letters", ["x" * 240, "\u00e9" * 120])
def test_a_name_of_240_bytes_is_a_name_like_any_other(studio, letters):
    making.lora(studio, letters)
    (card,) = shelf.shelf(studio).cards
    assert card.info and card.name == letters
    notes.change(studio, letters, star=True)
    assert shelf.shelf(studio).cards[0].notes.star


def test_made_here_is_what_a_run_of_this_studio_made_also_once_that_run_is_gone(studio, monkeypatch):
    made = making.run(studio, "fox", making.lora(studio, "fox"))
    making.lora(studio, "owl")
    made.summary()
    found = shelf.shelf(studio)
    assert {card.name: card.run for card in found.cards} == {"fox": made.folder.name, "owl": ""}
    assert names(shelf.wanted(found.cards, Wish(origin="made"))) == ["fox"]
    monkeypatch.setattr(runs, "send2trash", lambda path: os.rename(path, studio.home / "elsewhere"))
    runs.delete(studio, made)
    assert names(shelf.wanted(shelf.shelf(studio).cards, Wish(origin="made"))) == ["fox"]


def test_drawings_tell_which_lora_was_used_last_under_its_earlier_names_too(studio):
    for name in ("fox", "owl", "cat"):
        making.lora(studio, name)
        os.utime(studio.loras / f"{name}.safetensors", (1, 1))
    making.drawing(studio, "1", "fox", "owl")
    newest = making.drawing(studio, "2", "was-a-fox", day="2026-01-02")
    notes.change(studio, "fox", formerly=["was-a-fox"])
    found = shelf.shelf(studio)
    assert {card.name: card.times for card in found.cards} == {"fox": 2, "owl": 1, "cat": 0}
    assert found.find(studio.loras / "fox.safetensors").used == "2026-01-02/2.png"
    assert names(shelf.wanted(found.cards, Wish(sort="used"))) == ["fox", "owl", "cat"]
    newest.unlink()
    assert shelf.shelf(studio).find(studio.loras / "fox.safetensors").times == 1


WISHES = {
    "a word of the notes": (Wish(words="WOOD glue"), ["fox"]),
    "a word of the trigger": (Wish(words="zxy"), ["fox", "owl"]),
    "a star": (Wish(star=True), ["owl"]),
    "a tag": (Wish(tag="mine"), ["fox"]),
    "another family": (Wish(family="sdxl"), []),
    "a family": (Wish(family="sd1", sort="name"), ["fox", "owl"]),
    "nothing": (Wish(words="dog"), []),
}


@pytest.mark.parametrize("wish", WISHES)
def test_search_and_filters_leave_what_fits(studio, wish):
    making.lora(studio, "owl")
    making.lora(studio, "fox")
    notes.change(studio, "fox", text="Woodcuts, with glue", tags=["mine"])
    notes.change(studio, "owl", star=True)
    asked, expected = WISHES[wish]
    assert sorted(names(shelf.wanted(shelf.shelf(studio).cards, asked))) == expected


@pytest.mark.parametrize("ending", [".safetensors", ".SAFETENSORS"])
def test_notes_follow_a_file_that_was_renamed_by_hand(studio, ending):
    made = making.lora(studio, "fox", sshs_model_hash="abc")
    path = made.rename(made.with_suffix(ending))
    notes.change(studio, "fox", text="mine", digest="abc")
    path.rename(path.with_name(f"renamed{ending}"))
    (card,) = shelf.shelf(studio).cards
    assert (card.name, card.notes.text, card.notes.formerly) == ("renamed", "mine", ("fox",))
    assert scan.now_at(studio, str(path)) == str(card.path)
    assert scan.now_at(studio, str(path.parent.parent / path.name)) == scan.now_at(studio, str(card.path)) == ""


def test_damaged_notes_are_none_and_what_a_newer_app_notes_stays(studio):
    making.lora(studio, "fox")
    notes.change(studio, "fox", star=True, newer="kept")
    assert notes.change(studio, "fox", star=False).model_extra == {"newer": "kept"}
    notes.place(studio, "fox").write_bytes(b"\xff{")
    assert shelf.shelf(studio).cards[0].notes == notes.PLAIN
    with pytest.raises(UserError, match="20 tags"):
        notes.change(studio, "fox", tags=[str(n) for n in range(21)])
    assert notes.tags(" a,  b c ,a,, ") == ("a", "b c")
    assert notes.tags("f\udcffx, \udcff") == ("fx",), "a command line of another encoding"
    with pytest.raises(UserError, match="too long"):
        notes.tags("x" * 41)


def test_a_folder_that_cannot_be_listed_is_what_is_wrong(studio, monkeypatch):
    making.lora(studio, "fox")

    def refused(folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refused)
    (wrong,) = [one for one in verify.verify(studio)["wrong"] if one["path"] == str(studio.loras)]
    assert wrong["what"] == f"{studio.loras} could not be read (Permission denied)."
    with pytest.raises(UserError, match="could not be read"):
        loras.find(studio, "fox")


def test_a_folder_that_is_not_there_is_an_empty_library(tmp_path):
    found = shelf.shelf(Studio(tmp_path / "none"))
    assert (found.cards, found.left, found.tags, found.families) == ([], 0, [], {})
    assert not Path(tmp_path / "none" / "loras").exists()
