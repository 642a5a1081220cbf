"""Opening the window: the port, the environment, and the window that is open already."""

import contextlib
import os
import socket
import subprocess
import sys

import pytest
from filelock import FileLock

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import process
from lora_gui.studio.tasks.launching import until
from lora_gui.ui.server import browser, launch


@pytest.fixture
def taken_port():
    with socket.socket() as holder:
        holder.bind((launch.HOST, 0))
        holder.listen()
        yield holder.getsockname()[1]


STARTS = "Starts beside a window that is open, after one that was killed, or where the port is taken"


def test_a_port_in_use_is_a_sentence_that_names_it(taken_port, tell):
    tell(STARTS, 1)
    with pytest.raises(UserError) as caught:
        launch.free_port(taken_port)
    assert str(taken_port) in caught.value.what and "--port" in caught.value.remedy


@pytest.mark.parametrize("wrong", [-1, 70_000])
def test_a_port_that_does_not_exist_is_a_sentence(wrong):
    with pytest.raises(UserError):
        launch.free_port(wrong)


def test_without_a_wish_a_free_port_is_found():
    assert launch.FIRST_PORT <= launch.free_port(None) <= launch.LAST_PORT


def test_what_would_change_gradio_is_taken_out_of_the_environment(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "environ", dict(os.environ))
    os.environ |= {"GRADIO_ALLOWED_PATHS": "/", "GRADIO_SHARE": "True", "SPACE_ID": "x", "KEPT": "yes"}
    launch.clean_environment(tmp_path)
    assert {name for name in os.environ if name.startswith("GRADIO_")} == {
        "GRADIO_ANALYTICS_ENABLED",
        "GRADIO_TEMP_DIR",
    }
    assert "SPACE_ID" not in os.environ and os.environ["KEPT"] == "yes"
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False" and os.environ["GRADIO_TEMP_DIR"] == str(tmp_path)


def test_a_second_start_waits_for_the_first_and_says_when_it_does_not_answer(monkeypatch, tmp_path, tell):
    tell(STARTS, 1)
    monkeypatch.setenv("LORA_GUI_HOME", str(tmp_path))
    monkeypatch.setattr(launch, "PATIENCE", 0.3)
    with FileLock(tmp_path / "window.lock"), pytest.raises(UserError) as caught:
        launch.open_window(browser=False)
    assert "does not answer" in caught.value.what


def test_what_a_killed_window_left_behind_stops_no_start(taken_port, tmp_path, tell):
    """Its lock, its record with a number that another process has by now, and its port, which another program took."""
    (tmp_path / "window.lock").write_text(str(os.getpid()))
    files.write_json(tmp_path / "window.json", {"pid": os.getpid(), "port": taken_port, "token": "old"}, private=True)
    taken = [taken_port]
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the app, which a port just left does not stop
        with contextlib.suppress(OSError):  # taken already, by another window, which may leave it meanwhile
            other.bind((launch.HOST, launch.FIRST_PORT))
            other.listen()
            taken.append(launch.FIRST_PORT)
        window = subprocess.Popen(
            [sys.executable, "app.py", "--no-browser"], stdout=subprocess.PIPE, text=True, cwd=process.ROOT,
            env=os.environ | {"LORA_GUI_HOME": str(tmp_path), "ALL_PROXY": "socks://127.0.0.1:9/", "http_proxy": "a:b"},
        )  # fmt: skip
        try:
            assert window.stdout
            said = window.stdout.readline()
            known = files.read_json(tmp_path / "window.json")
            port = known["port"]
            held = [until(lambda: launch._answers(port), 60), known["token"] in said, port not in taken]
        finally:
            window.kill()
            window.communicate()
    tell(STARTS).add(len(held), sum(held))


def test_the_record_of_the_running_window_is_for_its_owner_only(tmp_path):
    record = tmp_path / "window.json"
    files.write_json(record, {"token": "secret"}, private=True)
    assert os.name == "nt" or record.stat().st_mode & 0o077 == 0


def test_only_pictures_the_app_made_are_served_and_nothing_is_shared(tmp_path):
    given = launch.options(Studio(tmp_path), 7999, "token")
    assert given["allowed_paths"] == [str(tmp_path / "cache" / "thumbnails"), str(tmp_path / "drawings")]
    assert given["server_name"] == "127.0.0.1" and given["share"] is False and given["show_error"] is False


def test_other_computers_are_refused_with_the_way_to_do_it_safely():
    command = [sys.executable, "app.py", "--listen"]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    assert shown.returncode == 1 and "this computer only" in shown.stderr and "ssh -L" in shown.stderr


def test_where_the_disk_is_full_the_old_key_stays_good(tmp_path):
    home = tmp_path / "gone"
    home.write_text("no folder")
    assert launch._next_key(Studio(home), 7999, "old") == "old"
    assert launch._next_key(Studio(tmp_path), 7999, "old") != "old"


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a shell script")
@pytest.mark.parametrize("theirs", [{}, {"NO_PROXY": "intranet"}])
def test_the_browser_keeps_the_proxies_of_its_user_but_for_this_computer(tmp_path, monkeypatch, theirs):
    script = tmp_path / "browser"
    script.write_text(f'#!/bin/sh\nenv > "{tmp_path}/seen"\necho "$1" >> "{tmp_path}/seen"\n')
    script.chmod(0o755)
    mine = {"PATH": os.environ["PATH"], "BROWSER": f"{script} %s", "HTTPS_PROXY": "socks5://127.0.0.1:1080", **theirs}
    monkeypatch.setattr(os, "environ", dict(mine))
    before = launch.clean_environment(tmp_path)
    assert "HTTPS_PROXY" not in os.environ
    assert browser.show("http://127.0.0.1:7999/", before)
    seen = (tmp_path / "seen").read_text().splitlines()
    assert "HTTPS_PROXY=socks5://127.0.0.1:1080" in seen and seen[-1] == "http://127.0.0.1:7999/"
    past = ",".join([*theirs.values(), "127.0.0.1,localhost,::1"])
    assert f"NO_PROXY={past}" in seen and f"no_proxy={past}" in seen
