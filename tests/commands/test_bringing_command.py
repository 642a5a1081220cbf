"""LoRAs are brought on the command line, by a real child, and nothing of the key for Civitai is told."""

import getpass
import io
import json
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from lora_gui import civitai_key
from lora_gui.commands.bringing import run_bring, run_key
from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio
from tests import making
from tests.net.civitai import SmallCivitai
from tests.net.hub import SmallHub

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def command(tmp_path):
    """A small Hub, a small Civitai, and what runs a command of `loras`: its exit code and its answer."""
    homes = {"LORA_GUI_HOME": str(tmp_path / "studio"), "HF_HOME": str(tmp_path / "hf"),
             "XDG_CONFIG_HOME": str(tmp_path / "config")}  # fmt: skip
    with SmallHub() as hub, SmallCivitai() as civitai:
        mine = {name: text for name, text in os.environ.items() if name not in ("HF_TOKEN", "CIVITAI_API_KEY")}
        environment = mine | hub.environment() | civitai.environment() | homes

        def run(*arguments, text=""):
            what = [sys.executable, "-m", "lora_gui", "loras", *arguments, "--json"]
            done = subprocess.run(what, cwd=ROOT, env=environment, input=text, capture_output=True, encoding="utf-8")
            return done.returncode, json.loads(done.stdout.splitlines()[-1])

        yield run, hub, civitai


@pytest.mark.soak
def test_a_lora_is_brought_from_civitai_with_a_key_and_another_chosen_from_the_hub(command, tmp_path):
    run, hub, civitai = command
    data = making.lora(Studio(tmp_path / "theirs"), "theirs").read_bytes()
    civitai.add(12, 34, data, b"", True)
    hub.add("ada/two", {"a.safetensors": data, "b.safetensors": data})
    code, told = run("bring", f"{civitai.url}/models/12")
    assert code == 1 and told["cause"] == "sign in" and "loras civitai-key" in told["remedy"]
    code, told = run("civitai-key", text="k3y\n")
    assert code == 0 and told["kept"] and "k3y" not in json.dumps(told)
    code, told = run("bring", f"{civitai.url}/models/12")
    assert code == 0 and told["family"] == "sd1" and told["trigger"] == "zxy", told
    code, told = run("bring", "ada/two")
    assert code == 1 and list(told["files"]) == ["a.safetensors", "b.safetensors"] and "--file" in told["remedy"]
    code, told = run("bring", "ada/two", "--file", "b.safetensors")
    assert code == 0 and Path(told["lora"]).name == "b.safetensors"
    assert run("civitai-key", "--forget")[1]["kept"] is False
    assert not list((tmp_path / "studio" / "downloads").glob("*/"))


@pytest.mark.parametrize("is_typed", [True, False])
def test_who_types_no_key_keeps_the_one_there_is(tmp_path, monkeypatch, is_typed):
    def ended(_):
        raise EOFError  # Ctrl-D

    monkeypatch.setattr(civitai_key, "place", lambda: tmp_path / "key")
    monkeypatch.setattr(getpass, "getpass", ended)
    monkeypatch.setattr(sys, "stdin", io.StringIO(" \n"))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: is_typed)
    civitai_key.keep("k3y")
    with pytest.raises(UserError, match="No key was given"):
        run_key(Namespace(forget=False), Studio(tmp_path))
    assert civitai_key.place().read_text() == "k3y"


def test_a_file_whose_name_loses_letters_is_told_by_its_name_here(tmp_path):
    lora = making.lora(Studio(tmp_path / "theirs"), "ink")
    strange = lora.rename(lora.with_name("مانجا ink.safetensors"))
    told = run_bring(Namespace(link=str(strange), file=""), Studio(tmp_path / "studio"))
    assert told["called"] == ["'مانجا ink' is called ink here: names keep a-z, digits, - and _."]
