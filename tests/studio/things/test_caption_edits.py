"""Captions changed many at a time: seen first, one or all accepted, taken back as one, and none replaced silently."""

import json

import pytest
from PIL import Image

from lora_gui.__main__ import main
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import pictures, set_changes
from lora_gui.studio.things.caption_edits import Edit, accept, edited, suggested
from tests import making


@pytest.mark.parametrize(
    "caption, edit, becomes",
    [
        ("a fox", {"prefix": "red,"}, "red, a fox"), ("red, a fox", {"prefix": "red,"}, "red, a fox"),
        ("", {"prefix": "red,"}, "red,"), ("a fox", {"suffix": " in snow "}, "a fox in snow"),
        ("a fox, foxes", {"find": "fox", "replace": "cat"}, "a cat, cates"), ("a fox", {"find": "Fox"}, "a fox"),
        ("oil, a fox, oil", {"remove": ["oil"]}, "a fox"), ("oils", {"remove": ["oil"]}, "oils"),
        ("a+b", {"find": "+", "replace": "\\1"}, "a\\1b"), ("fox", {"remove": ["fox"]}, ""),
        ("zxy, a woman with long hair in a garden", {"goal": "style", "trigger": "zxy"}, "woman in garden"),
        ("[trigger] a woman in a garden", {"goal": "character", "trigger": "zxy"}, "in garden"),
        ("", {"goal": "style", "trigger": "zxy"}, ""), ("a cat", {"goal": "concept"}, "a cat"),
    ],
)  # fmt: skip
def test_each_way_to_change_a_caption(caption, edit, becomes):
    assert edited(caption, Edit(**edit)) == becomes
    assert edited(becomes, Edit(**edit)) == becomes or "find" in edit


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setenv("LORA_GUI_HOME", str(tmp_path / "studio"))
    for name in ("fox", "cat", "owl"):
        Image.new("RGB", (80, 64), "red").save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text(f"a {name} in oil")
    return pictures.import_pictures(Studio.default(), [tmp_path / f"{name}.png" for name in ("fox", "cat", "owl")])[0]


def captions(made):
    return [one.caption for one in pictures.load(made.folder).pictures]


def test_what_was_accepted_is_written_as_it_was_edited_and_what_was_typed_meanwhile_stays(made):
    before = captions(made)
    first, second, third = suggested(made, Edit(find=" in oil"))
    assert captions(made) == before and (first.was, first.becomes) == (before[0], before[0].removesuffix(" in oil"))
    making.captioned(made, [before[0], "by hand", before[2]])
    now = pictures.load(made.folder)
    assert accept(now, [first._replace(becomes="my own\nwords "), second]) == (1, 1)
    assert captions(made) == ["my own words", "by hand", before[2]]
    assert set_changes.history(made.folder)[-1].says == "1 caption was changed."
    set_changes.undo(made.folder)
    assert captions(made) == [before[0], "by hand", before[2]]
    assert accept(now, []) == (0, 0) and len(set_changes.history(made.folder)) == 1


def test_the_command_shows_writes_only_when_told_and_goes_back_and_forth(made, capsys):
    def ran(*words):
        assert main(["pictures", words[0], made.folder.name, *words[1:], "--json"]) == 0
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    before = captions(made)
    shown = ran("captions", "--remove", "oil", "in", "--suffix", ", drawn")
    assert len(shown["captions"]) == 3 and not shown["written"] and captions(made) == before
    assert ran("captions", "--remove", "oil", "in", "--suffix", ", drawn", "--write")["written"] == 3
    after = captions(made)
    assert after == [one["becomes"] for one in shown["captions"]] != before
    assert ran("undo")["says"] == "3 captions were changed." and captions(made) == before
    assert ran("redo")["set"] == made.folder.name and captions(made) == after
    assert main(["pictures", "redo", made.folder.name, "--json"]) == 1
    assert "nothing to do again" in json.loads(capsys.readouterr().out.splitlines()[-1])["error"]


def test_what_only_begins_or_ends_with_the_same_letters_is_another_word():
    words = {"mandarin": "man mandarin man", "man-made": "man man-made man", "a woman": "man a woman man"}
    words |= {"man": "man", "man, a man": "man, a man", "a snowman": "man a snowman man"}
    assert {one: edited(one, Edit(prefix="man", suffix="man")) for one in words} == words
    assert edited("red,dish", Edit(prefix="red,")) == "red,dish" and edited("x.jpg", Edit(suffix=".jpg")) == "x.jpg"


def test_each_line_of_a_caption_is_changed_and_stays_one(made, capsys):
    text = made.pictures[0].path.with_suffix(".txt")
    text.write_text("a fox\noil\na red fox\n")
    assert main(["pictures", "captions", made.folder.name, "--prefix", "zxy", "--remove", "oil", "--write"]) == 0
    assert text.read_text() == "zxy a fox\nzxy\nzxy a red fox"
    first = suggested(pictures.load(made.folder), Edit(remove=["zxy"]))[0]
    assert first.becomes == "a fox\na red fox"
    assert accept(made, [first._replace(becomes="my own\n\n two  lines")]) == (1, 0)
    assert text.read_text() == "my own\ntwo lines"
