"""`check` and `caption` on the command line."""

import json

import pytest
from PIL import Image

from lora_gui.__main__ import main
from lora_gui.commands import printable
from tests import planted


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LORA_GUI_HOME", str(tmp_path / "studio"))
    place = tmp_path / "foxes"
    place.mkdir()
    for at, picture in enumerate(planted.made("drawings", 3, 8)):
        picture.save(place / f"red-fox in snow {at}.png")
    (place / "red-fox in snow 0.txt").write_text("by hand")
    return place


def told(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_what_is_wrong_is_printed_for_programs_and_for_people(folder, capsys):
    Image.open(folder / "red-fox in snow 0.png").save(folder / "again\u202e.png")
    assert main(["check", str(folder), "--trigger", "zxy", "--json"]) == 0
    found = told(capsys)
    every = [one for picture in found["pictures"] for one in picture["findings"]]
    assert {one["kind"] for one in every} == {"same"} and set(every[0]) == {"kind", "severity", "says", "remedy"}
    assert {one["kind"] for one in found["set"]} == {"few", "uncaptioned", "trigger"}
    assert main(["check", str(folder), "--goal", "character", "--base", "starter"]) == 0
    people = capsys.readouterr().out
    assert "shows the same as again .png" in people and "\u202e" not in people
    assert printable("\x1b[2J\n\u072a") == " [2J\n\u072a"
    assert main(["check", str(folder), "--resolution", "-5", "--json"]) == 1
    assert told(capsys)["error"] == "Resolution must be at least 64."


def test_a_folder_without_pictures_is_a_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("LORA_GUI_HOME", str(tmp_path / "studio"))
    assert main(["check", str(tmp_path), "--json"]) == 1
    assert "no pictures" in told(capsys)["error"]


def test_captions_are_suggested_and_written_only_where_there_is_none(folder, capsys):
    order = ["caption", str(folder), "--trigger", "zxy_style", "--goal", "style", "--from", "filename", "--json"]
    assert main(order) == 0
    found = told(capsys)
    assert {one["suggestion"] for one in found["captions"]} == {"zxy_style, red fox in snow"} and not found["written"]
    assert not (folder / "red-fox in snow 1.txt").exists()
    assert main([*order, "--write"]) == 0 and told(capsys)["written"] == 2
    assert (folder / "red-fox in snow 0.txt").read_text() == "by hand"
    assert (folder / "red-fox in snow 1.txt").read_text() == "zxy_style, red fox in snow"
    assert main([*order, "--write", "--replace"]) == 0 and told(capsys)["written"] == 3
