"""Ask a drive that may never answer: in a thread of its own, which is left to itself once it has been silent too long.

A network drive whose server is gone holds whoever asks it, for minutes or for ever, and knows no time limit itself.
"""

import functools
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

SILENCE = 6.0  # seconds; a disk that slept takes nearly as long
_FORGIVEN = 60.0  # seconds after which a silent drive is asked again
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

    minute = int(time.monotonic() // _FORGIVEN)
    asked = {name: threading.Thread(target=ask, args=(group,), daemon=True)
             for name, group in groups.items() if not _drive(name, minute).is_set()}  # fmt: skip
    until = time.monotonic() + (SILENCE if seconds is None else seconds)
    for thread in asked.values():
        thread.start()
    for name, thread in asked.items():
        thread.join(max(0.0, until - time.monotonic()))
        if thread.is_alive():
            _drive(name, minute).set()
    return dict(found)


@functools.lru_cache(maxsize=256)
def _drive(name: str, minute: int) -> threading.Event:
    """Set once a drive was silent, so that it is not waited for again in the same minute."""
    return threading.Event()


def _state(path: Path) -> tuple[int, int] | None:
    try:
        stat = os.stat(path)
    except (OSError, ValueError):
        return None
    return stat.st_size, stat.st_mtime_ns
