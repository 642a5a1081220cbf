"""Ask a drive that may never answer: in a thread of its own, which is left to itself once it has been silent too long.

A network drive whose server is gone holds whoever asks it, for minutes or for ever, and knows no time limit itself.
"""

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

SILENCE = 3.0  # seconds
T = TypeVar("T")


class SilentError(OSError):
    """Nothing came for too long."""


def patiently(work: Callable[[], Iterator[T]], silence: float | None = None) -> Iterator[T]:
    """What `work` yields. Raises SilentError where nothing comes for so many seconds, and OSError as `work` does."""
    said: queue.SimpleQueue[tuple[str, T | OSError | None]] = queue.SimpleQueue()
    left = threading.Event()

    def run() -> None:
        try:
            for one in work():
                if left.is_set():
                    return
                said.put(("one", one))
            said.put(("end", None))
        except OSError as error:
            said.put(("error", error))

    threading.Thread(target=run, daemon=True).start()
    try:
        while True:
            try:
                kind, one = said.get(timeout=SILENCE if silence is None else silence)
            except queue.Empty:
                raise SilentError("no answer") from None
            if isinstance(one, OSError):
                raise one
            if kind == "end":
                return
            yield one  # type: ignore[misc]
    finally:
        left.set()


def states(paths: Sequence[Path], seconds: float | None = None) -> dict[Path, tuple[int, int] | None]:
    """Size and time (ns since 1970) of each path that is there; None where it is gone, without those that are silent.

    Each drive is asked by itself, so that one that does not answer hides none of the others; all of it takes no longer
    than so many seconds.
    """
    found: dict[Path, tuple[int, int] | None] = {}
    groups: dict[str, list[Path]] = {}
    for path in paths:
        groups.setdefault("/".join(path.parts[:4]), []).append(path)

    def ask(group: list[Path]) -> None:
        for path in group:
            found[path] = _state(path)

    threads = [threading.Thread(target=ask, args=(group,), daemon=True) for group in groups.values()]
    until = time.monotonic() + (SILENCE if seconds is None else seconds)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return dict(found)


def _state(path: Path) -> tuple[int, int] | None:
    try:
        stat = os.stat(path)
    except (OSError, ValueError):
        return None
    return stat.st_size, stat.st_mtime_ns
