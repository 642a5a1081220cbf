"""The user's key for Civitai: in a file that its owner alone can read, and shown, logged and passed on nowhere."""

import os
from pathlib import Path

import platformdirs

from lora_gui import files
from lora_gui.errors import UserError

VARIABLE = "CIVITAI_API_KEY"  # goes before the file
_LONGEST = 200  # characters


def place() -> Path:
    """Where it is kept. Raises UserError where no home folder is known."""
    try:
        return platformdirs.user_config_path("lora-studio", appauthor=False) / "civitai-key"
    except RuntimeError:
        what = "The key cannot be kept, since no home folder is known."
        raise UserError(what, f"Set {VARIABLE} to the key instead.") from None


def read() -> str:
    """The key; empty where there is none."""
    try:
        kept = files.read_small(place(), 4 * _LONGEST).decode("ascii", "replace")
    except (OSError, UserError):
        kept = ""
    return os.environ.get(VARIABLE, "").strip() or kept.strip()


def keep(key: str) -> None:
    """Keep a key in place of any before; an empty one forgets it. Raises UserError where it is none."""
    key = key.strip()
    if not key:
        files.remove(place())
        return
    if len(key) > _LONGEST or not key.isascii() or not key.isalnum():
        raise UserError("This is no key of Civitai.", "Copy it whole from your account there: letters and digits.")
    files.make_private_folder(place().parent)
    files.write_bytes(place(), key.encode("ascii"), private=True)
