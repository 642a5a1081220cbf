"""`fight` and `mix` on the command line: what a program reads of them."""

import json
import shutil
from pathlib import Path

import pytest

from lora_gui.__main__ import main
from lora_gui.commands import stacks
from lora_gui.protocol import events
from lora_gui.protocol.jobs import MixJob
from lora_gui.studio.paths import HOME, Studio
from lora_gui.studio.tasks import process
from lora_gui.studio.things import loras
from tests import making


@pytest.fixture
def studio(tmp_path, monkeypatch):
    monkeypatch.setenv(HOME, str(tmp_path))
    return Studio(tmp_path)


@pytest.fixture
def command(capsys):
    def call(*arguments):
        code = main([*arguments, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return call


def test_loras_are_compared_and_mixed_into_one(studio, command):
    making.lora(studio, "fox")
    making.lora(studio, "owl", -0.25)
    code, found = command("fight", "fox", "owl")
    assert code == 0 and found["names"] == ["fox", "owl"] and found["matrix"] == [[1.0, 1.0], [1.0, 1.0]]
    assert found["norms"][0] == pytest.approx(4 * found["norms"][1]) and found["balance"] == [0.2, 0.8]
    assert stacks._fight_lines(found)[-1] == "Balanced: fox 0.2, owl 0.8"
    assert stacks._fight_lines(found | {"balance": ()})[-1] != "Balanced: "
    code, before = command("mix", "fox=0.5", "owl=1", "--kept")
    assert code == 0 and before == {"kept": {"4": 1.0}, "exact": 8} and not (studio.loras / "both.safetensors").exists()
    code, made = command("mix", "fox=0.5", "owl=1", "--rank", "3", "--out", "both")
    assert code == 0 and made["kept"] == pytest.approx(1) and "keeps 100.0 %" in made["said"]
    assert loras.describe(Path(made["lora"])).trigger == "zxy"
    assert command("fight", "both", "fox")[1]["matrix"][0][1] == pytest.approx(1, abs=1e-3)


def test_a_mix_replaces_no_lora_that_came_under_its_name_meanwhile(studio, command, monkeypatch):
    fox = making.lora(studio, "fox")

    def ask(kind, lines, log):
        shutil.copy(fox, MixJob.model_validate_json(lines[0]).out)
        making.lora(studio, "both", 0.75)
        return [events.Mixed(1.0, 4, 1, 100), events.Done()]

    monkeypatch.setattr(process, "ask", ask)
    code, made = command("mix", "fox=0.5", "--out", "both")
    assert code == 0 and Path(made["lora"]).name == "both-2.safetensors"
    assert (studio.loras / "both.safetensors").read_bytes() != fox.read_bytes() and len([*studio.loras.iterdir()]) == 3


@pytest.mark.parametrize(
    "arguments",
    [("fight", "fox"), ("fight", "fox", "dog"), ("mix", "fox=loud", "--out", "a"), ("mix", "fox=9", "--out", "a"),
     ("mix", "fox", "--out", "a/b"), ("mix", "fox", "--rank", "-1", "--out", "a")],
)  # fmt: skip
def test_what_cannot_be_done_is_a_sentence(studio, command, arguments):
    making.lora(studio, "fox")
    code, said = command(*arguments)
    assert code == 1 and said["error"].endswith(".") and said["remedy"].endswith((".", "?"))


def test_a_lora_whose_name_looks_like_a_strength_is_meant_by_its_name(studio, command):
    for name in ("style_lr=1e-4", "fox"):
        making.lora(studio, name)
    for line in (("style_lr=1e-4",), ("style_lr=1e-4=0.5", "fox=0.5")):
        code, made = command("mix", *line, "--out", f"mix of {len(line)}")
        assert code == 0 and Path(made["lora"]).is_file(), made
