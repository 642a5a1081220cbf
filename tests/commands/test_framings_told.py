"""What of the pictures is cropped, as the command line tells it before a training."""

import argparse
import json

import pytest
from PIL import Image

from lora_gui.__main__ import main
from lora_gui.commands.train import ordered
from lora_gui.studio.capacity import plans
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import bases, pictures

PLAN = {"peak_gib": 3.0, "fits": True, "phases": {}, "ram_gib": 2.0, "changed": {}, "notes": [], "gains": []}


@pytest.fixture
def studio(tmp_path, monkeypatch):
    monkeypatch.setenv("LORA_GUI_HOME", str(tmp_path / "studio"))
    return Studio.default()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "set").mkdir()
    Image.new("RGB", (640, 480), "orange").save(tmp_path / "set" / "wide.png")
    Image.new("RGB", (2400, 150), "red").save(tmp_path / "set" / "panorama.png")
    return tmp_path / "set"


def test_a_training_says_first_what_it_will_crop(studio, folder, capsys):
    if not bases.list_bases(studio):
        pytest.skip("This copy of the app has no starter, the base to train on.")
    options = argparse.Namespace(
        preset="style", base="starter", pictures=[folder], trigger="zxy_style", name="cat", vram=None, ground="", set=[]
    )
    ordered(options, studio)
    told = capsys.readouterr().err
    assert "2 pictures at 128 px: 1 is cropped by more than 5 %." in told
    assert "panorama.png, 2400 x 150: learnt at " in told and "wide.png, 640 x 480" not in told


def test_a_plan_with_pictures_says_it_for_each_base_and_keeps_nothing(studio, folder, capsys, monkeypatch):
    monkeypatch.setattr(plans, "ask", lambda studio, questions: [dict(PLAN) for _ in questions])
    line = ["plan", "--base", "sdxl", "--preset", "style", "--pictures"]
    assert main([*line, str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["pictures"].startswith("2 pictures at 1024 px: 1 is cropped by more than 5 %, 2 are smaller than")
    assert any(one.startswith("wide.png, 640 x 480: learnt at 640 x 480") for one in told["each"])
    assert pictures.picture_sets(studio) == []
    found, _ = pictures.import_pictures(studio, [folder])
    assert main([*line, found.folder.name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == told
    assert main([*line, found.folder.name]) == 0
    assert "    wide.png, 640 x 480: learnt at 640 x 480" in capsys.readouterr().out.splitlines()
