"""Renamed and edited LoRAs: all that is called so goes along, and the run that made it knows."""

import errno
import os

import pytest
from safetensors.numpy import load_file

from lora_gui import drive, files
from lora_gui.errors import UserError
from lora_gui.formats import edit
from lora_gui.studio.library import changes, covers, notes, shelf
from lora_gui.studio.library.bin import binned, delete, empty, find, restore, size
from lora_gui.studio.tasks.run import Run
from lora_gui.studio.things import loras
from lora_gui.studio.verify import verify
from tests import making


def card(studio, name):
    return shelf.named(studio, shelf.shelf(studio), name)


def test_a_new_name_takes_along_cover_notes_and_the_run_that_made_it(studio):
    old = making.lora(studio, "fox")
    made = making.run(studio, "fox", old)
    made.summary()
    old.with_name("fox.preview.png").write_bytes(b"cover")
    notes.change(studio, "fox", text="mine", star=True)
    new = changes.rename(studio, card(studio, "fox"), "Red Fox")
    assert new.name == "red-fox.safetensors" and not old.exists()
    assert new.with_name("red-fox.preview.png").read_bytes() == b"cover"
    now = card(studio, "red-fox")
    assert (now.notes.text, now.notes.star, now.notes.formerly, now.run) == ("mine", True, ("fox",), made.folder.name)
    assert Run(made.folder).status().lora == str(new) == Run(made.folder).summary().lora
    assert verify(studio)["wrong"] == [one for one in verify(studio)["wrong"] if "red-fox" not in one["what"]]


@pytest.mark.parametrize("name", ["owl", "OWL", "a/b", "", "con", "\u72d0"])
def test_a_name_that_is_taken_or_cannot_be_one_changes_nothing(studio, name):
    making.lora(studio, "fox")
    making.lora(studio, "owl")
    with pytest.raises(UserError):
        changes.rename(studio, card(studio, "fox"), name)
    assert {path.stem for path in studio.loras.iterdir()} == {"fox", "owl"}


def test_a_new_name_writes_over_no_file_that_is_called_so(studio):
    old = making.lora(studio, "fox")
    old.with_name("fox.txt").write_text("of the fox")
    old.with_name("owl.TXT").write_text("of nobody")
    with pytest.raises(UserError, match="There is a file owl.txt already."):
        changes.rename(studio, card(studio, "fox"), "owl")
    assert {path.name for path in studio.loras.iterdir()} == {"fox.safetensors", "fox.txt", "owl.TXT"}


def test_nobody_takes_a_name_in_the_moment_in_which_another_window_gives_it(studio, monkeypatch):
    making.lora(studio, "fox")
    gone = delete(studio, making.lora(studio, "owl"))
    monkeypatch.setattr(loras, "PATIENCE", 0.0)
    with loras.naming(studio):
        with pytest.raises(UserError, match="or renamed"):
            changes.rename(studio, card(studio, "fox"), "hen")
        with pytest.raises(UserError, match="or renamed"):
            restore(studio, gone)
    assert changes.rename(studio, card(studio, "fox"), "hen").is_file() and restore(studio, gone).is_file()


@pytest.mark.skipif(os.name != "posix", reason="no colons on Windows")
def test_what_comes_back_from_the_bin_writes_over_nothing_and_may_be_called_as_no_new_one_can(studio):
    old = making.lora(studio, "a:b")
    old.with_name("a:b.txt").write_text("of the LoRA")
    delete(studio, old)
    old.with_name("A:B.txt").write_text("of nobody")
    assert restore(studio, find(studio, "a:b")).name == "a:b-2.safetensors"
    assert old.with_name("a:b-2.txt").read_text() == "of the LoRA"
    assert old.with_name("A:B.txt").read_text() == "of nobody"


def test_what_a_file_says_is_changed_in_it_and_its_run_knows_the_file_again(studio):
    path = making.lora(studio, "fox")
    made = making.run(studio, "fox", path)
    made.summary()
    came = card(studio, "fox").came
    changes.say(studio, card(studio, "fox"), changes.Says("A fox", "inkfox", 0.8, "Two\nlines"))
    now = card(studio, "fox")
    assert (now.info.title, now.info.trigger, now.info.strength, now.strength) == ("A fox", "inkfox", 0.8, 0.8)
    assert now.came == came and changes.says(now).description == "Two\nlines"
    fields = edit.metadata(path)
    assert fields["ss_tag_frequency"] == '{"1_inkfox": {"inkfox": 1}}' and "inkfox" in fields["modelspec.usage_hint"]
    assert all((load_file(path)[name] == tensor).all() for name, tensor in making.tensors().items())
    assert Run(made.folder).status().sha256 == files.sha256(path)
    before = path.stat()
    changes.say(studio, now, changes.says(now))  # nothing new
    assert path.stat() == before


def test_what_a_trainer_counted_of_its_captions_stays(studio):
    counted = '{"10_set": {"a fox": 3, "an owl": 4}}'
    making.lora(studio, "fox", ss_tag_frequency=counted)
    changes.say(studio, card(studio, "fox"), changes.Says("", "inkfox", 0, ""))
    assert edit.metadata(studio.loras / "fox.safetensors")["ss_tag_frequency"] == counted
    assert card(studio, "fox").info.trigger == "inkfox"


@pytest.mark.parametrize("theirs", ["<fox>", "fox, " * 60 + "fox"])
def test_several_trigger_words_are_taken_and_one_of_another_program_stays_as_it_is(studio, theirs):
    making.lora(studio, "fox", **{"modelspec.trigger_phrase": theirs})
    changes.say(studio, card(studio, "fox"), changes.Says("A fox", theirs, 0, ""))
    assert changes.says(card(studio, "fox")).trigger == theirs
    changes.say(studio, card(studio, "fox"), changes.Says("A fox", "inkfox, red brush", 0, ""))
    assert card(studio, "fox").info.trigger == "inkfox, red brush"


@pytest.mark.parametrize(
    "says", [("x" * 201, "", 0, ""), ("", "", 2.1, ""), ("", "", -1, ""), ("", "", 0, "x" * 2001), ("", "<b>", 0, ""),
             ("", "inkfox, x", 0, "")],
)  # fmt: skip
def test_what_is_too_much_to_say_is_a_sentence_and_changes_nothing(studio, says):
    before = making.lora(studio, "fox").read_bytes()
    with pytest.raises(UserError):
        changes.say(studio, card(studio, "fox"), changes.Says(*says))
    assert (studio.loras / "fox.safetensors").read_bytes() == before


def test_a_deleted_lora_comes_back_with_all_that_belongs_to_it_under_a_free_name(studio):
    path = making.lora(studio, "fox")
    path.with_name("fox.png").write_bytes(b"cover")
    notes.change(studio, "fox", text="mine")
    weight = path.stat().st_size
    gone = delete(studio, path)
    assert not any(studio.loras.iterdir()) and not any(studio.library.iterdir())
    assert gone.size == size(studio) > weight
    making.lora(studio, "fox", value=0.25)
    back = restore(studio, find(studio, "fox"))
    assert back.name == "fox-2.safetensors" and back.with_name("fox-2.png").read_bytes() == b"cover"
    assert notes.of(studio, "fox-2").text == "mine" and not binned(studio) and not any(studio.bin.iterdir())


def test_the_bin_says_what_it_frees_and_is_empty_then(studio):
    one, other = making.lora(studio, "fox"), making.lora(studio, "owl")
    total = one.stat().st_size + other.stat().st_size
    delete(studio, one)
    delete(studio, other)
    assert [each.name for each in binned(studio)] == ["owl", "fox"] and size(studio) == total
    assert empty(studio) == total and not binned(studio)
    with pytest.raises(UserError, match="no 'fox' in the bin"):
        find(studio, "fox")


def test_what_is_not_in_the_studio_is_not_put_into_its_bin_and_of_a_link_only_the_link(studio, tmp_path):
    path = making.lora(studio, "fox").rename(tmp_path / "far.safetensors")
    with pytest.raises(UserError, match="not among your LoRAs"):
        delete(studio, path)
    link = studio.loras / "link.safetensors"
    link.symlink_to(path)
    gone = delete(studio, link)
    assert path.is_file() and gone.path.is_symlink()
    assert restore(studio, gone) == link and link.is_symlink()
    link.unlink()
    path.rename(studio.loras / "near.safetensors")
    link.symlink_to("near.safetensors")  # which leads nowhere from the bin
    assert restore(studio, delete(studio, link)) == link and link.is_file()


def test_a_folder_of_loras_on_another_drive_has_its_bin_too(studio, monkeypatch):
    path = making.lora(studio, "fox")
    before = path.read_bytes()
    path.with_name("fox.png").write_bytes(b"cover")
    real = os.replace

    def replace(source, target):
        if source.parent != target.parent:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    gone = delete(studio, path)
    assert not any(studio.loras.iterdir()) and gone.path.read_bytes() == before
    assert restore(studio, gone) == path and path.read_bytes() == before and path.with_suffix(".png").is_file()
    assert not any(studio.bin.iterdir())
    drawn = studio.drawings / "2026-01-01"
    (drawn / "1-grid" / "each").mkdir(parents=True)
    (drawn / "1-grid" / "each" / "a.png").write_bytes(b"drawing")
    (drawn / "1-grid" / "link").symlink_to(path)
    files.move(drawn / "1-grid", studio.bin / "1" / "grid")
    assert not any(drawn.iterdir()) and (studio.bin / "1" / "grid" / "each" / "a.png").read_bytes() == b"drawing"
    assert (studio.bin / "1" / "grid" / "link").readlink() == path
    monkeypatch.setattr(drive, "carry", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with pytest.raises(files.DiskFullError):
        delete(studio, path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["a" * 243, "\u732b" * 81])
def test_a_name_as_long_as_a_disk_takes_is_like_any_other(studio, name):
    path = making.lora(studio, name)
    cards = shelf.shelf(studio).cards
    assert [one.name for one in cards] == [name] and covers.cover(studio, cards[0]) is None
    covers.decode(studio, cards)
    assert restore(studio, delete(studio, path)) == path
    assert changes.rename(studio, card(studio, name), "fox").is_file()
