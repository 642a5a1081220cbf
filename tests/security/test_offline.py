"""Nothing leaves the computer: the window runs in a child that notes and refuses each connection to elsewhere."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from contextlib import nullcontext
from pathlib import Path

import pytest

from lora_gui import files
from tests import forkserver, tiny

ROOT = Path(__file__).parent.parent.parent
OFFLINE = Path(__file__).with_name("offline")
LONG = {"steps": 5000, "checkpoint_every": 3, "sample_every": 0, "resolution": 64, "sample_resolution": 64, "rank": 4}
QUICK = {"width": 64, "height": 64, "steps": 2}


@pytest.fixture
def environment(tmp_path):
    paths = {"LORA_GUI_HOME": str(tmp_path / "studio"), "CONNECTIONS": str(tmp_path / "connections.txt")}
    return os.environ | paths | {"PYTHONPATH": str(OFFLINE)}


@pytest.fixture
def forking(environment):
    """The same with a process to fork children from that has imported all they need, under the watch, too."""
    with forkserver.running(environment) if forkserver.available() else nullcontext():
        yield environment | {name: os.environ[name] for name in (forkserver.PLACE,) if name in os.environ}


def left(environment):
    path = Path(environment["CONNECTIONS"])
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def run(environment, *arguments):
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, check=False)


def test_the_watch_itself_works(environment):
    tried = "import socket\nfor ask in (socket.create_connection, socket.getaddrinfo):\n"
    tried += " try: ask(*(('192.0.2.1', 9),) if ask is socket.create_connection else ('example.com', 9))\n"
    tried += " except OSError: pass"
    run(environment, "-c", tried)
    assert len(left(environment)) == 2


def test_opening_the_window_connects_to_nothing(environment):
    home = Path(environment["LORA_GUI_HOME"])
    window = subprocess.Popen([sys.executable, "app.py", "--no-browser"], cwd=ROOT, env=environment)
    try:
        while not (known := files.read_json(home / "window.json")):
            assert window.poll() is None
            time.sleep(0.05)
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(), urllib.request.ProxyHandler({}))
        address = f"http://127.0.0.1:{known['port']}"
        with opener.open(f"{address}/?token={known['token']}", timeout=100) as page:
            assert page.status == 200
    finally:
        window.terminate()
        window.wait()
    assert left(environment) == []


# A command whose children are forked where that can be done.
MAIN = "from tests import forkserver; forkserver.used(); from lora_gui.__main__ import main; raise SystemExit(main())"


def start(environment, *arguments, **settings):
    """A command of the app, with its answer as JSON."""
    pairs = (part for key, value in settings.items() for part in ("--set", f"{key}={value}"))
    command = [sys.executable, "-c", MAIN, *map(str, arguments), *pairs, "--json"]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, encoding="utf-8")


def end(process):
    """Its exit code and its answer."""
    said, _ = process.communicate()
    return process.returncode, json.loads(said.splitlines()[-1])


def wait_for_a_checkpoint(home, process, after):
    """The run has come further than step `after`; its folder."""
    while True:
        for path in home.glob("runs/*/checkpoints/ckpt-*[0-9]"):
            if int(path.name.removeprefix("ckpt-")) > after:
                return path.parents[1]
        assert process.poll() is None
        time.sleep(0.05)


def test_a_run_that_is_paused_resumed_stopped_checked_and_drawn_with_connects_to_nothing(forking, tmp_path, tell):
    environment = forking
    home, base = Path(environment["LORA_GUI_HOME"]), tiny.stable_diffusion_1(tmp_path)
    tiny.pictures(tmp_path / "pictures")
    what = ("--base", base, "--pictures", tmp_path / "pictures", "--trigger", "zxy_style", "--name", "tiny")
    training = start(environment, "train", *what, **LONG)
    folder = wait_for_a_checkpoint(home, training, 0)
    code, paused = end(start(environment, "pause", folder.name))
    assert code == 0 and (paused["state"], paused["of"]) == ("paused", 5000)
    code, told = end(training)
    assert code == 1 and told["error"] == f"Paused at step {paused['step']} of 5000."
    resumed = start(environment, "resume", folder.name)
    wait_for_a_checkpoint(home, resumed, paused["step"])
    code, stopped = end(start(environment, "stop", "tiny"))
    assert code == 0 and stopped["state"] == "stopped" and stopped["step"] > paused["step"]
    assert end(resumed)[1]["lora"] == stopped["lora"] and files.sha256(Path(stopped["lora"])) == stopped["sha256"]
    code, found = end(start(environment, "verify"))
    assert code == 0 and found["wrong"] == [] and found["checked"] > 10
    code, drawn = end(start(environment, "draw", "--base", base, "--prompt", "zxy_style", "--lora", "tiny:1", **QUICK))
    assert code == 0 and len(drawn["drawings"]) == 1
    watched = len(Path(environment["CONNECTIONS"] + ".watched").read_text(encoding="utf-8").splitlines())
    tell("Processes of a run and a drawing that stay at home").add(watched, watched - len(left(environment)))
