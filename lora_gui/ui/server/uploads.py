"""The folder that the browser's files come into: private, emptied at every start, kept below a size and an age."""

import contextlib
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from lora_gui import files

BUDGET = 20_000_000_000  # bytes of all that lies there
SPARE = 1_000_000_000  # bytes of the disk that are always left to others
YOUNG, OLD = 3600, 86_400  # seconds: younger than the one is never cleared away, older than the other always


@dataclass
class Uploads:
    """What lies in `folder` and what is on its way there, in bytes."""

    folder: Path
    budget: int = BUDGET
    spare: int = SPARE
    _lying: int = 0
    _coming: int = 0

    def expect(self, size: int) -> str:
        """Take note of `size` bytes that are about to come; where there is no room, a sentence that says so."""
        if self._lying + self._coming + size > self.budget:
            self._lying = clear(self.folder, self.budget - self._coming - size)
        if self._lying + self._coming + size > self.budget:
            return "Too many files are waiting in the window. Close it and start it again."
        if shutil.disk_usage(self.folder).free - self._coming - size < self.spare:
            return "The disk is nearly full. Make some space and try again."
        self._coming += size
        return ""

    def came(self, size: int) -> None:
        self._coming -= size
        self._lying += size
        if not self._coming:  # what came whole lies in a folder of its own, and the rest was cut off
            with contextlib.suppress(OSError):  # Windows deletes none that is still open
                for path in self.folder.iterdir():
                    if path.is_file():
                        path.unlink(missing_ok=True)


def empty(folder: Path) -> None:
    """Make `folder`, private and with nothing in it: what a window that was killed left behind is gone."""
    shutil.rmtree(folder, ignore_errors=True)
    files.make_private_folder(folder)


def clear(folder: Path, most: int, old: float = OLD) -> int:
    """Delete what is `old` seconds old, and the oldest of the rest until `folder` holds `most` bytes; what it holds."""
    now, holds, kept = time.time(), 0, []
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        stat = path.stat()
        if now - stat.st_mtime > old:
            path.unlink(missing_ok=True)
        else:
            kept.append((stat.st_mtime, stat.st_size, path))
            holds += stat.st_size
    for changed, size, path in sorted(kept):
        if holds <= most or now - changed < YOUNG:
            break
        path.unlink(missing_ok=True)
        holds -= size
    return holds
