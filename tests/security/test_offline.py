"""Nothing leaves the computer: the window runs in a child that notes and refuses each connection to elsewhere."""

import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from lora_gui import files

ROOT = Path(__file__).parent.parent.parent
OFFLINE = Path(__file__).with_name("offline")


@pytest.fixture
def environment(tmp_path):
    paths = {"LORA_GUI_HOME": str(tmp_path / "studio"), "CONNECTIONS": str(tmp_path / "connections.txt")}
    return os.environ | paths | {"PYTHONPATH": str(OFFLINE)}


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
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(), urllib.request.ProxyHandler({}))
        address = f"http://127.0.0.1:{known['port']}"
        with opener.open(f"{address}/?token={known['token']}", timeout=100) as page:
            assert page.status == 200
    finally:
        window.terminate()
        window.wait()
    assert left(environment) == []
