"""Keys that bring a browser into the window by a private file: what stands on a command line, everybody can read.

Each is a page for its owner only, which goes on to the window with the key; the page is deleted when the key is used.
"""

import contextlib
import hashlib
import secrets
import time
from html import escape
from pathlib import Path

from lora_gui import files
from lora_gui.studio.paths import Studio, home_folder

LIFE = 600.0  # seconds a browser gets to come up; then its key is worth nothing, and its page is deleted
LOOK = 30.0  # seconds between two looks for pages that nobody came with
PAGE = """<!doctype html><meta charset="utf-8"><title>LoRA Studio</title><meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={address}"><p>LoRA Studio opens. <a href="{address}">Open it by hand</a></p>
"""


def folder(studio: Studio) -> Path:
    """Where the pages lie: in the cache, or where browsers that Ubuntu confines (snaps) may read, in the home folder.

    They may read no hidden folder, and a studio lies in one as a rule.
    """
    user = home_folder()
    if user is None or not (user / "snap").is_dir():
        return studio.cache / "keys"
    return user / f"lora-studio-opens-{hashlib.sha256(str(studio.home.resolve()).encode()).hexdigest()[:8]}"


def page(studio: Studio, window: str) -> Path:
    """A new key, in a page that goes on to `window`, an address. Raises UserError where the disk refuses."""
    place, key = folder(studio), secrets.token_urlsafe(32)
    files.make_private_folder(place)
    found = place / _name(key)
    files.write_bytes(found, PAGE.format(address=escape(f"{window}?token={key}")).encode(), private=True)
    return found


def clear(studio: Studio, old: float = 0.0) -> None:
    """Delete the pages that are so many seconds old, and their folder once it is empty."""
    place = folder(studio)
    with contextlib.suppress(OSError):
        for found in place.iterdir():
            if abs(time.time() - found.lstat().st_mtime) >= old:
                found.unlink(missing_ok=True)
        place.rmdir()


class Keys:
    """What the window asks of a key that it is shown."""

    def __init__(self, studio: Studio) -> None:
        self._folder = folder(studio)
        self._used: set[str] = set()  # a page that cannot be deleted opens no second time

    def takes(self, key: str) -> bool:
        """Whether this key is one of a page, young enough and shown for the first time; its page is deleted."""
        name = _name(key)
        found = self._folder / name
        try:
            age = abs(time.time() - found.lstat().st_mtime)
        except OSError:
            return False
        is_new = name not in self._used
        self._used.add(name)
        with contextlib.suppress(OSError):
            found.unlink()
            self._folder.rmdir()  # once the last has gone
        return is_new and age < LIFE


def _name(key: str) -> str:
    """The name of a key's page says nothing of the key."""
    return f"{hashlib.sha256(key.encode('utf-8')).hexdigest()[:32]}.html"
