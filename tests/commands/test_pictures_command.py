"""Picture sets on the command line."""

import json

import pytest
from PIL import Image

from lora_gui.__main__ import main
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import pictures


@pytest.fixture
def studio(tmp_path, monkeypatch):
    monkeypatch.setenv("LORA_GUI_HOME", str(tmp_path / "studio"))
    return Studio.default()


def test_sets_are_listed_and_go_to_the_bin(studio, tmp_path, capsys, monkeypatch):
    Image.new("RGB", (80, 64), "red").save(tmp_path / "rose.png")
    (tmp_path / "rose.txt").write_text("a rose")
    made, _ = pictures.import_pictures(studio, [tmp_path / "rose.png"])
    assert main(["pictures", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)["sets"]
    assert (listed["set"], listed["title"], listed["count"], listed["captions"]) == (made.folder.name, "rose", 1, 1)
    assert listed["used_by"] == [] and listed["problem"] == "" and listed["size"] > 0
    assert main(["pictures", "list"]) == 0
    assert capsys.readouterr().out.startswith(f"{made.folder.name}  rose: 1 pictures, 1 with captions, ")
    binned = []
    monkeypatch.setattr(pictures, "send2trash", binned.append)
    assert main(["pictures", "delete", made.folder.name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"in_the_bin": str(made.folder)} and binned == [made.folder]
    assert main(["pictures", "delete", "gone", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"] == "There is no picture set 'gone'."


def told(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_set_is_renamed_added_to_and_split(studio, tmp_path, capsys):
    for name, colour in (("rose", "red"), ("leaf", "green"), ("sky", (0, 0, 255, 0))):
        Image.new("RGBA" if name == "sky" else "RGB", (80, 64), colour).save(tmp_path / f"{name}.png")
    made, _ = pictures.import_pictures(studio, [tmp_path / "rose.png", tmp_path / "leaf.png"])
    name = made.folder.name
    assert main(["pictures", "rename", name, "  My garden ", "--json"]) == 0
    assert told(capsys) == {"set": name, "title": "My garden"}
    assert main(["pictures", "rename", "My garden", "Garden", "--json"]) == 0  # which it is called by now
    assert told(capsys) == {"set": name, "title": "Garden"}
    sky = str(tmp_path / "sky.png")
    assert main(["pictures", "add", name, sky, "--ground", "black", "--json"]) == 0
    assert told(capsys) == {"set": name, "count": 3, "refused": []}
    with Image.open(made.folder / "0003.png") as added:
        assert added.getpixel((0, 0)) == (0, 0, 0)
    assert main(["pictures", "add", name, sky, "--ground", "mauvish", "--json"]) == 1
    assert told(capsys)["error"] == "'mauvish' is no colour."
    assert main(["pictures", "repeat", name, "4", "--numbers", "1", "--json"]) == 0
    assert told(capsys) == {"set": name, "repeats": {"1": 4, "2": 1, "3": 1}}
    assert main(["pictures", "split", name, "The sky", "--numbers", "3", "--json"]) == 0
    other = told(capsys)
    assert other["count"] == 1 and pictures.load(studio.pictures / other["set"]).title == "The sky"
    assert [one.label for one in pictures.load(made.folder).pictures] == ["rose.png", "leaf.png"]
    assert main(["pictures", "rename", name, "The sky", "--json"]) == 0 and told(capsys)
    assert main(["pictures", "delete", "The sky", "--json"]) == 1
    assert told(capsys)["remedy"] == f"Choose one of: {other['set']}, {name}."
    for wrong in (["rename", name, " "], ["rename", "gone", "x"], ["split", name, "x", "--numbers", "9"],
                  ["repeat", name, "2", "--numbers", "9"],
                  ["add", "gone", sky]):  # fmt: skip
        assert main(["pictures", *wrong, "--json"]) == 1
        assert set(told(capsys)) >= {"error", "remedy"}


def test_a_command_without_a_studio_that_can_be_made_says_so(tmp_path, monkeypatch, capsys):
    """A file in its place stands for a disk that can only be read: no folder can be made there."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LORA_GUI_HOME", str(tmp_path / "file" / "studio"))
    Image.new("RGB", (80, 64), "red").save(tmp_path / "rose.png")
    train = f"train --pictures {tmp_path / 'rose.png'} --trigger zxy_rose --name rose"
    picture = tmp_path / "rose.png"
    refused = (
        "pictures delete x", "stop x", "pause x", "resume x", "delete x", train, "draw --prompt x",
        f"inspect {picture}", f"demo --out {tmp_path}",
        f"convert {picture} --to kohya --out {tmp_path / 'file' / 'x'}",
    )  # fmt: skip
    for line in ("pictures", "verify", "families", "plan --base sd15 --preset style", *refused):
        code = main([*line.split(), "--json"])
        told = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert code == (line in refused) and isinstance(told, dict), line
        assert line not in refused or (told["error"] and told["remedy"]), line


@pytest.mark.parametrize(
    "command",
    [["pictures", "rename", "@", "x"], ["pictures", "add", "@", "."], ["pictures", "undo", "@"], ["take", "@"],
     ["pictures", "split", "@", "y", "--numbers", "1"], ["pictures", "captions", "@", "--prefix", "a"],
     ["pictures", "repeat", "@", "2", "--numbers", "1"]],
)  # fmt: skip
def test_a_name_that_no_disk_takes_is_a_sentence(studio, command, capsys):
    assert main(["x" * 300 if word == "@" else word for word in command] + ["--json"]) == 1
    assert json.loads(capsys.readouterr().out)["remedy"]
