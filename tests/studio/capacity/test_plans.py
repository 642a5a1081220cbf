"""How much memory a training needs, asked by way of the real child process and on the command line."""

import json
import sys

import pytest

from lora_gui.__main__ import main
from lora_gui.errors import UserError
from lora_gui.settings import TrainSettings
from lora_gui.studio.capacity import plans
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import process

PHASES = {"encode_text", "encode_pictures", "train", "sample"}


def test_a_base_that_is_not_on_this_disk_is_planned_on_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LORA_GUI_HOME", str(tmp_path))
    asked = "plan --base klein-4b --preset style --resolution 512 --vram 12 --ram 16 --json"
    assert main(asked.split()) == 0
    plan = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert plan["fits"] and plan["peak_gib"] < 8 and set(plan["phases"]) == PHASES
    assert list((tmp_path / "cache" / "plans").glob("*.json"))  # where it is found at once the next time


def test_a_plan_that_never_comes_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-c", "import time; time.sleep(60)"))
    monkeypatch.setattr(plans, "_STARTING", 0.5)
    monkeypatch.setattr(plans, "_EACH", 0.5)
    studio = Studio(tmp_path)
    with pytest.raises(UserError, match="was given up"):
        plans.ask(studio, [plans.job(studio, plans.base_of(studio, "sd15"), TrainSettings(), 12.0)])


def test_a_child_that_hangs_before_it_has_read_a_long_order_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-c", "import time; time.sleep(60)"))
    with pytest.raises(UserError, match="was given up"):
        process.ask("caption", ["x" * (1 << 20)], tmp_path / "log", seconds=0.2)


def test_bases_that_only_draw_and_unknown_ones_are_refused_in_a_sentence(tmp_path):
    with pytest.raises(UserError, match="draws only"):
        plans.base_of(Studio(tmp_path), "flux1-schnell")
    with pytest.raises(UserError, match="no base"):
        plans.base_of(Studio(tmp_path), "flux9")


def test_every_base_that_can_learn_is_among_those_planned():
    keys = {base.key for base in plans.all_bases()}
    assert {"sd15", "sdxl", "sd35-large", "flux1-dev", "klein-9b", "kandinsky22", "wuerstchen"} <= keys
    assert not {"starter", "flux1-schnell"} & keys
