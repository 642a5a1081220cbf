"""Follow a run from its events file: read only what is new, and keep a picture of how the run stands."""

import os
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lora_gui.protocol import events
from lora_gui.protocol.task_folder import TaskFolder, located

_BEGINNING = 4096  # bytes by which a file of events is known again
ENDED = ("paused", "stopped", "finished", "failed")


@dataclass(frozen=True)
class RunStatus:
    """How a run stands. `done` and `phase_of` count within the phase; `what` and `remedy` say why it ended early."""

    state: str = "queued"  # queued (its child is about to come), waiting (its turn has not come), running, pausing,
    # paused, stopping, stopped, finished, failed, elsewhere (another computer works at it, as far as one can see)
    step: int = 0
    of: int = 0
    first: int = 0  # the step that its latest start went on from
    seconds_left: float | None = None
    phase: str = ""
    done: int = 0
    phase_of: int = 0
    transfer: events.Transfer | None = None  # how far a download has come
    found: dict[str, Any] = field(default_factory=dict)  # what it was found to lead to
    losses: tuple[tuple[int, float], ...] = ()
    samples: tuple[events.Sample, ...] = ()
    measured: tuple[events.Measured, ...] = ()
    notes: tuple[str, ...] = ()
    lora: str = ""
    sha256: str = ""
    what: str = ""
    remedy: str = ""
    cause: str = ""  # what a retry can do something about, as in events.Failed
    seconds: float = 0.0  # of its latest start
    retries: int = 0  # how often it went on by itself since somebody last told it to

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def resumable(self) -> bool:
        """Whether it ended before its last step."""
        return self.ended and self.state != "finished"


class Follower:
    """Reads an events file piece by piece; may be used from several threads."""

    def __init__(self, path: Path) -> None:
        self._path, self._studio = path, TaskFolder(path.parent).studio
        self._offset = 0
        self._begun = b""  # of the file: another one may be put in its place
        self.grows = False  # whether there was more at the last look than at the one before
        self._looks = 0
        self._lock = threading.Lock()
        self._plain = RunStatus()  # without losses and samples, which are long
        self._losses: list[tuple[int, float]] = []
        self._samples: list[events.Sample] = []
        self._measured: list[events.Measured] = []
        self._status: RunStatus | None = self._plain

    @property
    def status(self) -> RunStatus:
        """The status after everything that was read so far."""
        with self._lock:
            return self._whole()

    def read(self) -> RunStatus:
        """The status after everything that stands in the file now."""
        self.new_events()
        return self.status

    def new_events(self) -> list[events.Event]:
        """The events since the last call; the status goes on too."""
        with self._lock:
            data = self._data()
            self.grows, self._looks = bool(data) and self._looks > 0, self._looks + 1
            found = self._new(data)
            for event in found:
                self._take(event)
            return found

    def _whole(self) -> RunStatus:
        if self._status is None:
            self._status = replace(
                self._plain, losses=tuple(self._losses), samples=tuple(self._samples), measured=tuple(self._measured)
            )
        return self._status

    def _take(self, event: events.Event) -> None:
        self._status = None
        self._plain = after(self._plain, event)
        if isinstance(event, events.Step):
            self._losses.append((event.step, event.loss))
        elif isinstance(event, events.Sample):
            self._samples.append(event)
        elif isinstance(event, events.Measured):
            self._measured.append(event)
        elif isinstance(event, events.Started):  # what a killed child said of later steps comes again
            self._losses = [one for one in self._losses if one[0] <= event.first_step]
            self._measured = [one for one in self._measured if one.step <= event.first_step]

    def _data(self) -> bytes:
        """The whole lines that are new: half a line is still being written, or copied, and is read the next time.

        From its beginning where the file is another one: shorter, or begun otherwise, as a copy of an older state is.
        """
        try:
            if not self._path.is_file():  # a pipe would be waited for
                return b""
            with open(self._path, "rb") as file:
                begun = file.read(len(self._begun) or _BEGINNING)
                if file.seek(0, os.SEEK_END) < self._offset or not begun.startswith(self._begun):
                    self._offset, self._begun = 0, b""
                    self._plain, self._status = RunStatus(), None
                    self._losses, self._samples, self._measured = [], [], []
                file.seek(self._offset)
                data = file.read().rstrip(b"\0")  # what a network drive has room for, but not yet
        except OSError:
            return b""
        self._begun = self._begun or begun[: begun.rfind(b"\n") + 1]
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return whole

    def _new(self, whole: bytes) -> list[events.Event]:
        lines = whole.split(b"\n")  # not splitlines, which also splits at signs that stand in prompts
        found = (events.from_line(line.decode("utf-8", errors="replace")) for line in lines if line)
        return [events.relocated(event, lambda path: located(path, self._studio)) for event in found if event]


def brief(path: Path) -> RunStatus:
    """The status after everything that stands in a file, without what is long in it; quick."""
    status, studio = RunStatus(), TaskFolder(path.parent).studio
    for event in events.in_short(path):
        status = after(status, events.relocated(event, lambda path: located(path, studio)))
    return status


def after(status: RunStatus, event: events.Event) -> RunStatus:
    """The status once `event` has happened, but for its losses, measures and samples."""
    match event:
        case events.Resumed(because):
            again = replace(_going_on(status), state="queued", retries=status.retries + 1 if because else 0)
            return replace(again, notes=(*status.notes, because)) if because else again
        case events.Started(steps, first):
            return replace(_going_on(status), state="running", of=steps, step=first, first=first)
        case events.Phase(name, done, of):
            return replace(status, phase=name, done=done, phase_of=of)
        case events.Found(found):
            return replace(status, found=found)
        case events.Transfer():
            return replace(status, transfer=event, phase="", done=0, phase_of=0)
        case events.Step(step, of, _, _, left):
            return replace(status, step=step, of=of, seconds_left=left, phase="", done=0, phase_of=0)
        case events.Note(text) if text not in status.notes:  # a run that goes on says again what still holds
            return replace(status, notes=(*status.notes, text))
    return ended(status, event)


def ended(status: RunStatus, last: events.Event) -> RunStatus:
    """The status once the child has said its last word."""
    match last:
        case events.Done(lora, sha256, steps, seconds):
            done = replace(status, state="finished", step=steps, lora=lora, sha256=sha256, seconds=seconds)
            return replace(done, seconds_left=0, phase="")
        case events.Stopped(step, lora, sha256):
            return replace(status, state="stopped", step=step, lora=lora, sha256=sha256, seconds_left=0, phase="")
        case events.Paused(step, what, remedy):
            return replace(_going_on(status), state="paused", step=step, what=what, remedy=remedy)
        case events.Failed(what, remedy, _, cause):
            return replace(_going_on(status), state="failed", what=what, remedy=remedy, cause=cause)
    return status


def _going_on(status: RunStatus) -> RunStatus:
    """Without what was said of an earlier end."""
    return replace(
        status, seconds_left=None, phase="", done=0, phase_of=0, lora="", sha256="", what="", remedy="", cause=""
    )
