"""How much of a download is here, how fast it comes, and whether there is room for the rest."""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path

from lora_gui.errors import UserError
from lora_gui.net.fetch import Remote, held
from lora_gui.protocol.events import Transfer

_MARGIN = 500_000_000  # bytes that are left free
_OFTEN = 0.5  # seconds between two events
_LATELY = 10.0  # seconds over which the speed is taken


class Pace:
    """Of files that come into a folder, by their paths in it."""

    def __init__(self, wanted: Mapping[str, Remote], folder: Path) -> None:
        self._of = sum(max(one.size, 0) for one in wanted.values())
        self._held = {path: held(folder / path) for path in wanted}
        self._done = sum(self._held.values())
        self._marks: deque[tuple[float, int]] = deque([(time.monotonic(), self._done)])
        self._told = 0.0

    def here(self, path: str, count: int, name: str) -> Iterator[Transfer]:
        """So many bytes of a file are here now; this is said from time to time, with `name`."""
        came = count - self._held[path]
        self._held[path] = count
        self._done += came
        if came < 0:  # it has to be fetched anew
            self._marks.clear()
        if time.monotonic() - self._told >= _OFTEN:
            yield self.told(name)

    def told(self, name: str = "") -> Transfer:
        now = self._told = time.monotonic()
        self._marks.append((now, self._done))
        while now - self._marks[0][0] > _LATELY and len(self._marks) > 2:
            self._marks.popleft()
        seconds, came = now - self._marks[0][0], self._done - self._marks[0][1]
        speed = came / seconds if seconds > 0 else 0.0
        of = max(self._of, self._done)
        return Transfer(self._done, of, speed, (of - self._done) / speed if speed > 0 else None, name)


def require_room(wanted: Mapping[str, Remote], folder: Path) -> None:
    """Raises UserError where the disk has no room for what is missing."""
    missing = sum(max(one.size, 0) - held(folder / path) for path, one in wanted.items())
    free = shutil.disk_usage(folder).free
    if missing + _MARGIN > free:
        what = f"{missing / 1e9:.1f} GB are to come, and {folder.parent} has only {free / 1e9:.1f} GB free."
        raise UserError(what, "Make some space there and resume; nothing that was fetched is lost.")
