"""LoRA Studio in the applications menu: asked once, put there as this system wants it, taken out again."""

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from lora_gui import __main__ as cli
from lora_gui.errors import UserError
from lora_gui.studio import menu
from lora_gui.studio.paths import Studio

ODD = 'a $b "c" `d` \\e 100% é'


@pytest.fixture
def studio(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data home"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LORA_GUI_HOME", str(tmp_path / ODD))
    monkeypatch.setattr(sys, "platform", "linux")
    return Studio(tmp_path / ODD)


def command(text: str) -> list[str]:
    """What a desktop starts for an entry: the value is unescaped, then its arguments are unquoted, as in a shell."""
    value = re.search(r"^Exec=(.*)$", text, re.M)[1].replace("\\\\", "\\")
    shell = subprocess.run(["bash", "-c", f"printf '%s\\0' {value}"], capture_output=True, text=True, check=True)
    return [part.replace("%%", "%") for part in shell.stdout.split("\0")[:-1]]


def test_the_entry_starts_the_launcher_with_the_studio_of_whoever_asked(studio, monkeypatch, tmp_path):
    (tmp_path / "p" / ODD).mkdir(parents=True)
    (tmp_path / "p" / ODD / "launch.sh").write_text('#!/bin/bash\necho "$LORA_GUI_HOME"\n')
    monkeypatch.setattr(menu, "PACKAGE", tmp_path / "p" / ODD / "lora_gui")
    text = menu.add(studio).read_text(encoding="utf-8")
    started = command(text)
    assert started[-2:] == ["bash", str(tmp_path / "p" / ODD / "launch.sh")]
    assert subprocess.run(started, capture_output=True, text=True, check=True).stdout.strip() == str(studio.home)
    monkeypatch.delenv("LORA_GUI_HOME")
    assert command(menu.add(studio).read_text(encoding="utf-8")) == started[-2:]


@pytest.mark.skipif(not shutil.which("desktop-file-validate"), reason="desktop-file-validate is not installed")
def test_the_entry_is_valid(studio):
    subprocess.run(["desktop-file-validate", str(menu.add(studio))], check=True)


def test_it_is_asked_once_and_can_be_taken_out(studio):
    assert menu.is_to_ask(studio)
    made = menu.answer(studio, True)
    assert made and made.name == "lora-studio.desktop" and made.is_file() and not menu.is_to_ask(studio)
    assert menu.remove() and not made.exists() and not menu.remove() and not menu.is_to_ask(studio)


def test_no_thanks_is_no_thanks(studio):
    assert menu.answer(studio, False) is None
    assert not menu.is_to_ask(studio) and not menu.entry().exists()


def test_nothing_is_asked_where_the_entry_is_there_or_there_is_nothing_to_start(studio, monkeypatch, tmp_path):
    menu.add(studio)
    assert not menu.is_to_ask(studio)
    menu.remove()
    monkeypatch.setattr(menu, "PACKAGE", tmp_path / "elsewhere" / "lora_gui")
    assert not menu.is_to_ask(studio)
    with pytest.raises(UserError, match="no launch"):
        menu.add(studio)


def test_on_macos_it_is_a_command_in_the_applications_of_the_user(studio, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "platform", "darwin")
    made = menu.add(studio)
    assert made == tmp_path / "Applications" / "LoRA Studio.command" and os.access(made, os.X_OK)
    words = [shlex.split(line) for line in made.read_text(encoding="utf-8").splitlines()[1:]]
    assert words == [["export", f"LORA_GUI_HOME={studio.home}"], ["exec", "bash", str(menu.launcher())]]


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for powershell is a shell script")
def test_on_windows_a_shortcut_is_asked_of_powershell_with_its_paths_as_variables(studio, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("APPDATA", str(tmp_path / "appdata"))
    powershell = tmp_path / "powershell"
    powershell.write_text(f'#!/bin/sh\nenv > "{tmp_path}/seen"\necho "$@" >> "{tmp_path}/seen"\n')
    powershell.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    made = menu.add(studio)
    seen = (tmp_path / "seen").read_text(encoding="utf-8")
    for line in (f"LINK={made}", f"TARGET={menu.launcher()}", f"ICON={studio.home / 'icon.ico'}"):
        assert line in seen.splitlines()
    assert made.suffix == ".lnk" and "Start Menu" in str(made) and str(tmp_path) not in seen.splitlines()[-1]
    with Image.open(studio.home / "icon.ico") as icon:
        assert icon.format == "ICO"
    powershell.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(UserError, match="shortcut could not be made"):
        menu.add(studio)


def test_the_command_line_says_where_it_is_and_puts_it_in_and_out(studio, capsys):
    for arguments, there in (([], False), (["add"], True), ([], True), (["remove"], False)):
        assert cli.main(["menu", *arguments]) == 0
        assert f"in_the_menu: {there}" in capsys.readouterr().out


def test_the_icon_is_drawn_alike_in_both_kinds():
    import resvg_py

    drawn = bytes(resvg_py.svg_to_bytes(svg_string=(menu.PACKAGE / "icon.svg").read_text(), width=128, height=128))
    with Image.open(io.BytesIO(drawn)) as one, Image.open(Path(menu.PACKAGE / "icon.png")) as other:
        small = [image.convert("RGBA").resize((8, 8)).tobytes() for image in (one, other)]
        assert max(abs(a - b) for a, b in zip(*small, strict=True)) < 16


@pytest.mark.skipif(os.name == "nt", reason="names are bytes on other systems alone")
def test_a_studio_whose_name_is_in_another_encoding_cannot_be_in_the_menu_and_is_told_so(studio, tmp_path, monkeypatch):
    odd = Studio(Path(f"{tmp_path}/caf\udce9"))
    for platform in ("linux", "darwin"):
        monkeypatch.setattr(sys, "platform", platform)
        with pytest.raises(UserError, match="not in UTF-8"):
            menu.add(odd)
        assert not menu.entry().exists()
