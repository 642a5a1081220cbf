"""`loras` on the command line: what a program reads of it, and what it does."""

import json
from pathlib import Path

import pytest

from lora_gui.__main__ import main
from lora_gui.studio.paths import HOME, Studio
from tests import making


@pytest.fixture
def studio(tmp_path, monkeypatch):
    monkeypatch.setenv(HOME, str(tmp_path))
    return Studio(tmp_path)


@pytest.fixture
def command(capsys):
    def call(*arguments):
        code = main(["loras", *arguments, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return call


def test_loras_are_listed_edited_starred_renamed_deleted_and_restored(studio, command):
    assert command() == (0, {"loras": []})
    making.lora(studio, "fox")
    making.lora(studio, "owl")
    (studio.loras / "bad.safetensors").write_bytes(b"nonsense")
    edits = ("--trigger", "inkfox", "--strength", "0.8", "--notes", "mine", "--tags", "ink, animal")
    code, shown = command("edit", "fox", *edits)
    assert code == 0 and (shown["trigger"], shown["strength"], shown["notes"]) == ("inkfox", 0.8, "mine")
    assert command("star", "fox") == (0, {"lora": "fox", "star": True})
    assert [one["name"] for one in command("list", "--star")[1]["loras"]] == ["fox"]
    assert [one["name"] for one in command("list", "--tag", "ink")[1]["loras"]] == ["fox"]
    listed = {one["name"]: one for one in command("list", "--sort", "name")[1]["loras"]}
    assert list(listed) == ["fox", "owl", "bad"] and "problem" in listed["bad"] and listed["owl"]["trigger"] == "zxy"
    code, renamed = command("rename", "fox", "red-fox")
    assert code == 0 and Path(renamed["lora"]).is_file()
    assert command("show", "red-fox")[1]["tags"] == ["ink", "animal"]
    code, gone = command("delete", "bad")
    assert code == 0 and gone["bytes"] == 8
    assert command("restore")[1] == {"bin": [{"name": "bad", "bytes": 8}]}
    assert Path(command("restore", "bad")[1]["lora"]).read_bytes() == b"nonsense"
    assert command("restore", "bad")[0] == 1
    assert main(["delete", "bad"]) == 0 and not (studio.loras / "bad.safetensors").exists()


@pytest.mark.parametrize(
    "arguments",
    [("show", "dog"), ("edit", "fox"), ("edit", "fox", "--strength", "9"), ("rename", "fox", "a/b")],
)
def test_what_cannot_be_done_is_a_sentence(studio, command, arguments):
    making.lora(studio, "fox")
    code, said = command(*arguments)
    assert code == 1 and said["error"].endswith(".") and said["remedy"].endswith(".")


def test_for_people_each_lora_is_a_line(studio, capsys):
    making.lora(studio, "fox")
    assert main(["loras"]) == 0 and capsys.readouterr().out == "  fox  sd1, zxy\n"
    assert main(["loras", "restore"]) == 0 and main(["loras", "delete", "fox"]) == 0
    assert main(["loras", "list"]) == 0 and capsys.readouterr().out.endswith("There is no LoRA.\n")
