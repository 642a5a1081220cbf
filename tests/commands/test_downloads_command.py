"""Downloads on the command line: followed to their end, paused by Ctrl-C, given up, and told as JSON."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import downloads
from lora_gui.studio.tasks.launching import until
from lora_gui.studio.things import bases
from tests.net.hub import SmallHub

ROOT = Path(__file__).parent.parent.parent
KNOWN = bases.known_bases()["sd15"]


@pytest.fixture
def hub():
    with SmallHub() as found:
        files = (path for path in bases.SHIPPED.rglob("*") if path.is_file())
        model = {path.relative_to(bases.SHIPPED).as_posix(): path.read_bytes() for path in files}
        found.add(KNOWN.repo, model, KNOWN.revision)
        yield found


@pytest.fixture
def command(hub, tmp_path):
    """Starts a command of `bases`; its answer is JSON."""
    homes = {"LORA_GUI_HOME": str(tmp_path / "studio"), "HF_HOME": str(tmp_path / "hf")}
    environment = {name: text for name, text in os.environ.items() if name != "HF_TOKEN"} | hub.environment() | homes

    def start(*arguments, **more):
        what = [sys.executable, "-m", "lora_gui", "bases", *arguments, "--json"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
        return subprocess.Popen(what, cwd=ROOT, env=environment, **pipes, **more)

    return start


def end(process, text=None):
    said, progress = process.communicate(text, timeout=120)
    return process.returncode, json.loads(said.splitlines()[-1]), progress


def test_a_download_is_followed_paused_by_ctrl_c_listed_resumed_and_found(command, hub, tmp_path):
    studio = Studio(tmp_path / "studio")
    largest = max(hub.repos[KNOWN.repo].at("main")[1].values(), key=len)
    hub.fault(f"GET /cdn/{hashlib.sha256(largest).hexdigest()}", drip_after=1_000_000)
    first = command("download", "sd15")
    download = downloads.Download(studio, "sd15")
    assert any("sd15: " in line and " of " in line for line in first.stderr)
    assert until(lambda: download.status().done > 1_000_000, 120), first.communicate()
    first.send_signal(signal.SIGINT)
    code, told, _ = end(first)
    assert (code, told["error"], told["state"]) == (1, "The download is paused.", "paused") and told["done"] > 0
    hub.mend()  # it may have been paused before it came to that file
    code, listed, _ = end(command("download"))
    assert [(one["base"], one["state"]) for one in listed["downloads"]] == [("sd15", "paused")]
    code, told, _ = end(command("download", "sd15"))
    assert (code, told) == (0, {"base": "sd15", "state": "finished", "path": str(studio.bases / "sd15")})


@pytest.mark.soak
def test_a_gated_base_says_how_to_sign_in_and_the_token_comes_by_the_input(command, hub, tmp_path):
    hub.repos[KNOWN.repo].gated = "auto"
    hub.allow("hf_ada", "ada", may_see=(KNOWN.repo,))
    code, told, _ = end(command("download", "sd15"))
    assert code == 1 and told["cause"] == "sign in" and "bases sign-in" in told["remedy"]
    code, told, _ = end(command("sign-in", stdin=subprocess.PIPE), "hf_ada\n")
    assert (code, told) == (0, {"signed_in_as": "ada"})
    assert end(command("download", "sd15"))[0] == 0
    kept = [path for path in (tmp_path / "studio").rglob("*") if path.is_file() and b"hf_ada" in path.read_bytes()]
    assert kept == []


def test_what_cannot_be_paused_is_told(command):
    code, told, _ = end(command("download", "sdxl", "--pause"))
    assert code == 1 and told["error"] == "No download of 'sdxl' was begun."
