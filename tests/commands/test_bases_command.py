"""The bases on the command line: listed, found, added and removed."""

import json

import pytest

from lora_gui.__main__ import main
from lora_gui.studio.finding import places
from lora_gui.studio.paths import Studio
from tests.studio.finding import layouts
from tests.studio.things import base_folders as like
from tests.studio.things.base_folders import sparse


@pytest.fixture
def studio(tmp_path, monkeypatch):
    monkeypatch.setenv("LORA_GUI_HOME", str(tmp_path / "studio"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv(places.DRIVES, str(tmp_path / "drive"))
    return Studio.default()


@pytest.fixture
def said(capsys):
    def run(*arguments):
        code = main(["bases", *arguments, "--json"])
        return code, json.loads(capsys.readouterr().out.splitlines()[-1])

    return run


def test_bases_are_found_listed_added_and_removed(studio, said, tmp_path, capsys):
    comfy = layouts.marked(tmp_path / "drive" / "ComfyUI", "comfy/sd.py")
    path = sparse(comfy / "models" / "checkpoints" / "pretty.safetensors", like.SDXL)
    layouts.parts(comfy)
    assert [base["key"] for base in said()[1]["bases"]] == ["starter"]
    code, found = said("find")
    assert code == 0 and [one["path"] for one in found["bases"]] == [str(path)]
    assert {one["like"] for one in found["parts"]} == {"clip_l", "clip_g", "t5xxl", "vae_flux"}
    listed = {base["key"]: base for base in said("list")[1]["bases"]}
    assert (listed["pretty"]["family"], listed["pretty"]["known"]) == ("sdxl", "sdxl")

    mine = sparse(tmp_path / "mine" / "b.safetensors", like.SD15)
    assert said("add", str(mine)) == (0, {"path": str(mine), "family": "sd1", "like": "sd15"})
    _, before = said("remove", "b")
    assert not before["done"] and "stay where they lie" in before["said"]
    assert said("remove", "b", "--yes")[1]["done"] and mine.is_file()
    assert said("remove", "b")[1]["error"] == "There is no base 'b'."
    assert said("remove", str(mine), "--yes")[1]["error"] == "b is not among your bases."

    path.unlink()
    assert said("list")[1]["gone"] == [{"path": str(path), "program": "ComfyUI", "silent": False}]
    assert main(["bases"]) == 0 and "not there any more: " in capsys.readouterr().out


def test_a_name_that_no_disk_takes_is_no_base(studio, said):
    for name in ("a" * 300, "a" * 300 + ".safetensors"):
        assert said("add", name)[1]["remedy"] == "Check where the base lies."
