"""Show a file in the system's file manager: always by a list of arguments, never through a shell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from lora_gui.errors import UserError


def show(path: Path, environment: Mapping[str, str]) -> None:
    """Open the folder of a file, with the file chosen where the system can. Raises UserError where it cannot."""
    command = _command(path, environment)
    if not command:
        raise UserError(f"It lies at {path}.", "There is no file manager to show it in.")
    try:
        subprocess.Popen(
            command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    except OSError:
        raise UserError(f"It lies at {path}.", "The file manager could not be started.") from None


def _command(path: Path, environment: Mapping[str, str]) -> list[str]:
    """What shows it on this system; nothing where nobody could see it."""
    if os.name == "nt":
        return ["explorer", "/select,", str(path)]
    if sys.platform == "darwin":
        return ["open", "-R", str(path)]
    seen = any(environment.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    opener = shutil.which("xdg-open", path=environment.get("PATH"))
    return [opener, str(path.parent)] if seen and opener else []
