"""The READMEs: short, and naming only files and commands that there are."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("", "lora_gui/", "lora_gui/starter/", "tests/security/", "tests/survival/")
READMES = [f"{folder}README.md" for folder in FOLDERS]
LONGEST = 1200  # words
FILE = re.compile(r"(?<![\w/.*-])(?:[\w-]+/)*[\w-]+\.(?:py|md|sh|bat|txt|lock|toml)\b")


@pytest.fixture(scope="module")
def commands() -> set[str]:
    """Those that the command line offers in its help."""
    command = [sys.executable, "-m", "lora_gui", "--help"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(re.findall(r"^    ([a-z][a-z-]+)", shown.stdout, re.M))


def quoted(name: str) -> str:
    """What stands in backticks and in blocks of code, but for the tree of the map, which has a test of its own."""
    text = re.sub(r"```\nlora_gui/\n.*?```", "", (ROOT / name).read_text(encoding="utf-8"), flags=re.S)
    return "\n".join(block or word for block, word in re.findall(r"```\n(.*?)```|`([^`\n]*)`", text, re.S))


def named_commands(name: str) -> set[str]:
    return {one for some in re.findall(r"python -m lora_gui ([a-z][a-z|-]+)", quoted(name)) for one in some.split("|")}


def test_the_readme_has_at_most_1200_words():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= LONGEST


@pytest.mark.parametrize("name", READMES)
def test_every_file_that_a_readme_names_is_there(name):
    for path in set(FILE.findall(quoted(name))):
        assert (ROOT / path).exists() or any((ROOT / "lora_gui").rglob(path)), path


@pytest.mark.parametrize("name", READMES)
def test_every_command_that_a_readme_names_is_one(name, commands):
    assert named_commands(name) <= commands


def test_the_readmes_of_the_tests_list_all_that_the_tests_tell_of():
    listed = "".join((ROOT / name).read_text(encoding="utf-8") for name in READMES[-2:])
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    told = set(re.findall(r'\btell\("([^"\\]+)"', tests))
    assert len(told) > 15 and not [what for what in told if f"| {what} |" not in listed]


def test_the_readme_names_every_command(commands):
    assert commands <= named_commands("README.md")
