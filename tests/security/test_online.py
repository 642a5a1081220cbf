"""What the user asked for alone connects, to the hub alone; every other command asks nobody, as the window does not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lora_gui.studio.things import bases
from tests.net.hub import SmallHub

ROOT = Path(__file__).parent.parent.parent
OFFLINE = Path(__file__).with_name("offline")
KNOWN = bases.known_bases()["sd15"]
TOKEN = "hf_SecretOfAda"
AT_HOME = (
    ("families",), ("bases", "list"), ("bases", "download"), ("loras", "list"), ("verify",), ("bases", "find"),
)  # fmt: skip


@pytest.fixture
def hub():
    with SmallHub() as found:
        files = (path for path in bases.SHIPPED.rglob("*") if path.is_file())
        model = {path.relative_to(bases.SHIPPED).as_posix(): path.read_bytes() for path in files}
        found.add(KNOWN.repo, model, KNOWN.revision)
        yield found


@pytest.fixture
def environment(tmp_path):
    """Of processes that note and refuse each connection to another computer; this one is near."""
    own = {"LORA_GUI_HOME": str(tmp_path / "studio"), "HF_HOME": str(tmp_path / "hf"), "HOME": str(tmp_path / "home"),
           "CONNECTIONS": str(tmp_path / "connections.txt"), "PYTHONPATH": str(OFFLINE)}  # fmt: skip
    return {name: text for name, text in os.environ.items() if name != "HF_TOKEN"} | own


def left(environment):
    path = Path(environment["CONNECTIONS"])
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def run(environment, *arguments, text=""):
    command = [sys.executable, "-m", "lora_gui", *arguments, "--json"]
    done = subprocess.run(command, cwd=ROOT, env=environment, input=text, capture_output=True, encoding="utf-8")
    return done.returncode, json.loads(done.stdout.splitlines()[-1]), done.stdout + done.stderr


@pytest.mark.soak
def test_every_other_command_asks_a_hub_nothing(hub, environment, tell):
    row = tell("Commands that stay at home although a hub is named")
    environment = environment | hub.environment()
    for command in AT_HOME:
        with row:
            assert run(environment, *command)[0] == 0 and hub.asked == []
    assert hub.asked == [] and left(environment) == []


def test_a_download_asks_the_hub_alone_and_the_token_stands_nowhere_in_the_studio(hub, environment, tmp_path):
    hub.repos[KNOWN.repo].gated = "auto"
    hub.allow(TOKEN, "ada", may_see=(KNOWN.repo,))
    environment = environment | hub.environment() | {"HF_DEBUG": "1"}
    said = run(environment, "bases", "sign-in", text=f"{TOKEN}\n")[2]
    code, _, more = run(environment, "bases", "download", "sd15")
    assert code == 0 and hub.requests("GET .*resolve")
    assert left(environment) == [], "a process asked somebody else"
    assert TOKEN not in said + more
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    assert kept and {path.parent for path in kept} == {tmp_path / "hf"}
    before = len(hub.asked)
    assert run(environment, "bases", "list")[1]["bases"] and len(hub.asked) == before


def test_without_a_mirror_a_download_asks_for_the_hub_itself_and_is_a_sentence_where_there_is_no_line(environment):
    code, told, _ = run(environment, "bases", "download", "sd15")
    assert code == 1 and told["error"] == "huggingface.co cannot be reached." and "resume" in told["remedy"]
    assert set(left(environment)) == {"huggingface.co"}
