"""LoRA Studio in the applications menu of this system: asked for once, put there, taken out again."""

import io
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import lora_gui
from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.studio.paths import HOME, Studio, home_folder

NAME = "LoRA Studio"
ANSWER = "menu.json"  # in the studio folder, once the user has answered
PACKAGE = Path(lora_gui.__file__).parent
SECONDS = 30.0  # that Windows may take to make a shortcut
# Its paths come as variables, so that nothing in them is taken for a command.
_SHORTCUT = (
    "$s = (New-Object -ComObject WScript.Shell).CreateShortcut($env:LINK); $s.TargetPath = $env:TARGET; "
    "$s.WorkingDirectory = $env:FOLDER; $s.IconLocation = $env:ICON; $s.Save()"
)


def is_to_ask(studio: Studio) -> bool:
    """Whether the user was never asked, and there is something to ask."""
    place = _place()
    return place is not None and not ((studio.home / ANSWER).exists() or place.exists()) and launcher().is_file()


def answer(studio: Studio, wanted: bool) -> Path | None:
    """Do what the user said and never ask again; where the entry is now. Raises UserError where the disk refuses."""
    made = add(studio) if wanted else None
    files.write_json(studio.home / ANSWER, {"wanted": wanted})
    return made


def entry() -> Path:
    """Where the entry is, if there is one. Raises UserError where no home folder is known."""
    place = _place()
    if place is None:
        what = "The menu lies in your home folder, and none is known."
        raise UserError(what, "Set HOME to your home folder, and try again.")
    return place


def _place() -> Path | None:
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA", "")) / "Microsoft/Windows/Start Menu/Programs" / f"{NAME}.lnk"
    user = home_folder()
    if sys.platform == "darwin":
        return user and user / "Applications" / f"{NAME}.command"
    given = Path(os.environ.get("XDG_DATA_HOME", ""))
    data = given if given.is_absolute() else user and user / ".local/share"
    return data and data / "applications" / "lora-studio.desktop"


def launcher() -> Path:
    """What the entry starts."""
    return PACKAGE.parent / ("launch.bat" if sys.platform == "win32" else "launch.sh")


def add(studio: Studio) -> Path:
    """Make the entry, or make it anew; where it is. Raises UserError where it cannot be made."""
    if not launcher().is_file():
        what = f"There is no {launcher().name} to put into the menu."
        raise UserError(what, "Start the program from its own folder.")
    _MAKE.get(sys.platform, _desktop_entry)(entry(), studio)
    return entry()


def remove() -> bool:
    """Take the entry out; whether there was one. Raises UserError where the disk refuses."""
    there = entry().exists()
    files.remove(entry())
    return there


def _desktop_entry(path: Path, studio: Studio) -> None:
    """As freedesktop.org's specification of desktop entries has it."""
    where = f"env {_argument(f'{HOME}={studio.home}')} " if os.environ.get(HOME) else ""
    lines = (
        "[Desktop Entry]", "Version=1.0", "Type=Application", f"Name={NAME}",
        "Comment=Train LoRAs of your own pictures, and draw with them",
        f"Exec={where}bash {_argument(str(launcher()))}",
        f"Icon={_value(str(PACKAGE / 'icon.svg'))}", "Terminal=true", "Categories=Graphics;2DGraphics;",
    )  # fmt: skip
    files.write_text(path, "\n".join(lines) + "\n")


def _argument(text: str) -> str:
    """One argument of Exec: quoted, then escaped as every value is."""
    for sign in '\\"`$':
        text = text.replace(sign, f"\\{sign}")
    return _value(f'"{text}"').replace("%", "%%")


def _value(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _command_file(path: Path, studio: Studio) -> None:
    """A double click on a .command opens a terminal with it."""
    where = f"export {HOME}={shlex.quote(str(studio.home))}\n" if os.environ.get(HOME) else ""
    files.write_text(path, f"#!/bin/bash\n{where}exec bash {shlex.quote(str(launcher()))}\n")
    path.chmod(0o755)


def _shortcut(path: Path, studio: Studio) -> None:
    from PIL import Image

    icon, drawn = studio.home / "icon.ico", io.BytesIO()
    with Image.open(PACKAGE / "icon.png") as image:
        image.save(drawn, "ICO")
    files.write_bytes(icon, drawn.getvalue())
    paths = {"LINK": path, "TARGET": launcher(), "FOLDER": launcher().parent, "ICON": icon}
    command = ["powershell", "-NoProfile", "-NonInteractive", "-Command", _SHORTCUT]
    try:
        variables = os.environ | {name: str(one) for name, one in paths.items()}
        subprocess.run(command, env=variables, capture_output=True, check=True, timeout=SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        what = "The shortcut could not be made."
        raise UserError(what, f"Make one to {launcher()} by hand: right click, Send to, Desktop.") from error


_MAKE: dict[str, Callable[[Path, Studio], None]] = {"darwin": _command_file, "win32": _shortcut}
