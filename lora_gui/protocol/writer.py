"""The child's end of the protocol: its real standard streams, taken before any library has them, and its result."""

import contextlib
import io
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from lora_gui import drive
from lora_gui.errors import UserError
from lora_gui.protocol.events import Event, Failed, Last, Paused, Started, Step, Stopped, in_short, relocated, to_line
from lora_gui.protocol.task_folder import Reached, TaskFolder, placed

_NOWHERE = Reached(0, 0, 0)


class _Log(io.FileIO):
    """A log that takes what it can: no work ends because a line about it, or a library's progress bar, has no room."""

    def write(self, data: Any, /) -> int:
        with contextlib.suppress(OSError):
            super().write(data)
        return len(data)


def log_what_fits() -> None:
    """Let nothing that is printed in this process fail, however full the disk of its log is."""
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(_Log(number, "w", closefd=False), "utf-8", "backslashreplace", write_through=True)
        for number in (1, 2)
    )


def own_input() -> IO[bytes]:
    """The real standard input, to be read in a thread; nothing stands in its place.

    On Windows numpy's and torch's libraries ask about each standard handle as they are loaded, and that would wait for
    as long as the pipe is being read.
    """
    lines = os.fdopen(os.dup(0), "rb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return lines


class EventWriter:
    """Writes events as lines; whatever a library prints goes to the log instead. May be used from several threads.

    With a `task`, paths are written relative to its studio, and its last event is kept as the task's result. They go
    to standard output, which the parent has opened, or to another stream.
    """

    def __init__(self, task: TaskFolder | None = None, to: IO[bytes] | None = None) -> None:
        self._out = to or os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)
        self._task, self._reached = task, _before(task.events) if task else _NOWHERE
        self._lock = threading.Lock()
        self._mend = b""  # a line break, where half a line was written

    def say(self, event: Event) -> None:
        """Write one line. On a full disk it is lost: what is being learnt is worth more than what is said of it."""
        with self._lock:
            task = self._task
            self._write(to_line(relocated(event, lambda path: placed(path, task.studio)) if task else event))
            self._reached = _further(self._reached, event)
            if task and isinstance(event, Last):
                self._keep(task, event)

    def _write(self, line: str) -> None:
        data = self._mend + line.encode("utf-8", errors="replace") + b"\n"
        try:
            whole = self._out.write(data) == len(data)
        except OSError as error:
            if not drive.is_full(error):
                raise
            whole = False
        self._mend = b"" if whole else b"\n"

    def _keep(self, task: TaskFolder, last: Last) -> None:
        try:
            task.write_result(last, self._reached)
        except UserError as error:  # a full disk; the events say it too
            print(error, file=sys.stderr)


def _before(path: Path) -> Reached:
    """How far the starts before this one came, which may end before it says that itself."""
    reached = _NOWHERE
    for event in in_short(path):
        reached = _further(reached, event)
    return reached


def _further(reached: Reached, event: Event) -> Reached:
    match event:
        case Started(steps, first):
            return Reached(first, first, steps)
        case Step(step) | Paused(step) | Stopped(step):
            return replace(reached, step=step)
    return reached


class Teller:
    """The end of a process that does not lead: all it says is what it failed with, and that to the leading one."""

    def __init__(self) -> None:
        self.tell: Callable[[str], None] | None = None

    def say(self, event: Event) -> None:
        if self.tell and isinstance(event, Failed):
            self.tell(to_line(event))
