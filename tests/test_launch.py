"""The launchers, as far as a test can go without installing anything."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOOLS = ("bash", "dirname", "cmp", "tr", "cp", "rm", "echo")

pytestmark = pytest.mark.skipif(os.name == "nt", reason="launch.sh is for Linux and macOS")


@pytest.fixture
def copy(tmp_path):
    """The launcher alone in a folder with spaces in its name, and a search path on which there is no Python."""
    folder, path = tmp_path / "my apps & things", tmp_path / "bin"
    folder.mkdir()
    path.mkdir()
    shutil.copy(ROOT / "launch.sh", folder)
    for tool in TOOLS:
        (path / tool).symlink_to(shutil.which(tool))
    return folder, path


def launch(folder: Path, path: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["bash", str(folder / "launch.sh"), *arguments],
        env={"PATH": str(path)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_without_python_it_says_which_one_is_needed_and_where_to_get_it(copy):
    shown = launch(*copy)
    assert shown.returncode != 0
    assert "Python 3.11" in shown.stderr
    assert "python.org" in shown.stderr


def test_a_python_that_is_too_old_is_not_taken(copy):
    folder, path = copy
    (path / "python3").write_text("#!/bin/bash\nexit 1\n")
    (path / "python3").chmod(0o755)
    shown = launch(folder, path)
    assert shown.returncode != 0
    assert "found none" in shown.stderr
    assert not (folder / ".venv").exists()


def test_what_is_installed_already_is_not_installed_again_and_the_options_reach_the_app(copy):
    folder, path = copy
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/python").symlink_to(sys.executable)
    (folder / "requirements.txt").write_text("nothing-of-this-name==0\n")
    shutil.copy(folder / "requirements.txt", folder / ".venv/installed-requirements.txt")
    (folder / "app.py").write_text("import sys; print(sys.argv[1:])")
    assert launch(folder, path, "--port", "7999", "--no-browser").stdout.strip() == "['--port', '7999', '--no-browser']"
    (folder / "lora_gui").mkdir()
    (folder / "lora_gui/__main__.py").write_text("import sys; print(sys.argv[1:])")
    assert launch(folder, path, "--demo", "--out", "a b").stdout.strip() == "['demo', '--json', '--out', 'a b']"


def test_a_failed_installation_is_said_in_a_sentence_and_tried_again_the_next_time(copy):
    folder, path = copy
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/python").write_text('#!/bin/bash\n[ "$1" = -c ]\n')  # starts, but cannot install
    (folder / ".venv/bin/python").chmod(0o755)
    (folder / "requirements.txt").write_text("nothing-of-this-name==0\n")
    for _ in range(2):
        shown = launch(folder, path)
        assert shown.returncode != 0
        assert "Installing did not work." in shown.stderr


def test_the_windows_launcher_knows_the_same_options():
    text = (ROOT / "launch.bat").read_text(encoding="ascii")
    for word in ("--demo", "--test", "app.py", "requirements.txt", "--torch-backend=auto", "python.org"):
        assert word in text
