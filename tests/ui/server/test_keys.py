"""The browser is brought into the window by a private file, and no key stands on a command line."""

import os
import re
import subprocess
import sys
import time

import pytest

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import process
from lora_gui.ui.server import keys, launch

KEY = re.compile(r"token=([\w-]{30,})")
ADDRESS = "http://127.0.0.1:7999/"


@pytest.fixture
def studio(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return Studio(tmp_path / "home" / ".hidden" / "a studio")


def key_in(page):
    return KEY.search(page.read_text())[1]


def test_the_page_is_for_its_owner_only_and_its_name_says_nothing_of_the_key(studio):
    page = keys.page(studio, ADDRESS)
    key = key_in(page)
    assert f"{ADDRESS}?token={key}" in page.read_text() and 'name="referrer" content="no-referrer"' in page.read_text()
    assert key not in str(page) and page.parent.parent == studio.cache
    assert os.name == "nt" or (page.stat().st_mode & 0o777, page.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_key_opens_once_and_its_page_is_gone_then(studio):
    page, window = keys.page(studio, ADDRESS), keys.Keys(studio)
    key = key_in(page)
    assert [window.takes(key), page.exists(), page.parent.exists(), window.takes(key)] == [True, False, False, False]


def test_a_page_that_cannot_be_deleted_opens_no_second_time(studio):
    page, window = keys.page(studio, ADDRESS), keys.Keys(studio)
    text = page.read_text()
    assert window.takes(key_in(page))
    files.make_private_folder(page.parent)
    page.write_text(text)
    assert not window.takes(key_in(page))


@pytest.mark.parametrize("wrong", ["", "x", "../a", "\0", "ü", "a" * 5000])
def test_a_key_of_no_page_opens_nothing(studio, wrong):
    keys.page(studio, ADDRESS)
    assert not keys.Keys(studio).takes(wrong)


@pytest.mark.parametrize("ahead", [keys.LIFE + 1, -keys.LIFE - 1])
def test_a_page_that_is_old_or_of_a_clock_that_was_set_opens_nothing_and_is_cleared_away(studio, ahead):
    old, new = keys.page(studio, ADDRESS), keys.page(studio, ADDRESS)
    os.utime(old, (time.time() - ahead, time.time() - ahead))
    key = key_in(old)
    keys.clear(studio, keys.LIFE)
    assert not old.exists() and new.exists()
    old.write_text("")
    os.utime(old, (time.time() - ahead, time.time() - ahead))
    assert not keys.Keys(studio).takes(key)
    keys.clear(studio)
    assert not new.parent.exists()


def test_where_browsers_are_confined_the_page_lies_where_they_may_read(studio, tmp_path):
    (tmp_path / "home" / "snap").mkdir()
    page = keys.page(studio, ADDRESS)
    assert page.parent.parent == tmp_path / "home" and not page.parent.name.startswith((".", "snap"))
    assert os.name == "nt" or page.parent.stat().st_mode & 0o077 == 0
    assert keys.Keys(studio).takes(key_in(page)) and not page.parent.exists()
    assert keys.folder(Studio(tmp_path / "another")) != keys.folder(studio)


def opened(studio, tmp_path, browser='#!/bin/sh\ncat /proc/$$/cmdline | tr "\\0" " " > "$SEEN"\nenv >> "$SEEN"\n'):
    """What a start prints, and what its browser's command line and environment are."""
    script, seen = tmp_path / "browser", tmp_path / "seen"
    script.write_text(browser)
    script.chmod(0o755)
    start = (
        "import os, sys; from pathlib import Path; from lora_gui.studio.paths import Studio\n"
        "from lora_gui.ui.server import launch\n"
        "launch._show(Studio(Path(sys.argv[1])), 7999, 'k' * 43, os.environ)"
    )
    variables = os.environ | {"BROWSER": f"{script} %s", "SEEN": str(seen), "PATH": "/usr/bin:/bin", "DISPLAY": ""}
    command = [sys.executable, "-c", start, str(studio.home)]
    said = subprocess.run(command, env=variables, cwd=process.ROOT, capture_output=True, text=True, check=True).stdout
    return said, seen.read_text() if seen.exists() else ""


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="reads a command line as Linux shows it")
def test_no_key_is_on_the_command_line_or_in_the_environment_of_the_browser(studio, tmp_path):
    said, seen = opened(studio, tmp_path)
    [page] = keys.folder(studio).iterdir()
    assert page.as_uri() in seen and key_in(page) not in seen and "token" not in seen and "k" * 43 not in seen
    assert f"{ADDRESS}?token={'k' * 43}" in said, "the printed address is of another key, which stays good"
    assert key_in(page) not in said


@pytest.mark.skipif(os.name == "nt", reason="Windows starts its browser another way")
def test_where_no_browser_starts_or_no_page_can_be_written_the_printed_address_is_what_helps(studio, tmp_path):
    said, _ = opened(studio, tmp_path, "#!/bin/sh\nexit 1\n")
    assert "No browser was started: open the address above" in said
    (tmp_path / "file").write_text("no folder")
    said, seen = opened(Studio(tmp_path / "file"), tmp_path)
    assert "could not be saved" in said and "open the address above" in said and not seen


def test_a_second_start_shows_the_open_window_without_its_key_on_a_command_line(studio, monkeypatch, capsys):
    given = []
    monkeypatch.setattr(launch.browsers, "show", lambda address, environment: given.append(address) or True)
    monkeypatch.setattr(launch, "_answers", lambda port: True)
    launch._keep_key(studio, 7999, "k" * 43)
    launch._show_running(studio, browser=True)
    [address] = given
    assert address.startswith("file:") and "k" * 43 not in address and "k" * 43 in capsys.readouterr().out


def test_a_record_of_the_window_that_is_damaged_is_a_sentence(studio, monkeypatch):
    monkeypatch.setattr(launch, "PATIENCE", 0.3)
    for odd in ([1], {"port": "many"}, {"port": 1e999}, {"port": 7999}, {"port": 7999, "token": 5}):
        files.write_json(studio.home / launch.RECORD, odd)
        with pytest.raises(UserError, match="does not answer"):
            launch._show_running(studio, browser=False)
