"""Follow a run from its events file: read only what is new, and keep a picture of how the run stands."""

import threading
from dataclasses import dataclass, replace
from pathlib import Path

from lora_gui.protocol import events

ENDED = ("paused", "stopped", "finished", "failed")


@dataclass(frozen=True)
class RunStatus:
    """How a run stands. `done` and `phase_of` count within the phase; `what` and `remedy` say why it ended early."""

    state: str = "queued"  # queued, running, pausing, paused, stopping, stopped, finished, failed
    step: int = 0
    of: int = 0
    first: int = 0  # the step that its latest start went on from
    seconds_left: float | None = None
    phase: str = ""
    done: int = 0
    phase_of: int = 0
    losses: tuple[tuple[int, float], ...] = ()
    samples: tuple[events.Sample, ...] = ()
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
        self._path = path
        self._offset = 0
        self._lock = threading.Lock()
        self._status = RunStatus()

    @property
    def status(self) -> RunStatus:
        """The status after everything that was read so far."""
        return self._status

    def read(self) -> RunStatus:
        """The status after everything that stands in the file now."""
        self.new_events()
        return self._status

    def new_events(self) -> list[events.Event]:
        """The events since the last call; the status goes on too."""
        with self._lock:
            found = self._new()
            for event in found:
                self._status = after(self._status, event)
            return found

    def _new(self) -> list[events.Event]:
        """Whole lines only: half a line is still being written and is read the next time."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._offset)
                data = file.read()
        except OSError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        found = (events.from_line(line) for line in whole.decode("utf-8", errors="replace").splitlines())
        return [event for event in found if event]


def after(status: RunStatus, event: events.Event) -> RunStatus:
    """The status once `event` has happened."""
    match event:
        case events.Resumed(because):
            again = replace(_going_on(status), state="queued", retries=status.retries + 1 if because else 0)
            return replace(again, notes=(*status.notes, because)) if because else again
        case events.Started(steps, first):
            losses = tuple((step, loss) for step, loss in status.losses if step <= first)
            return replace(_going_on(status), state="running", of=steps, step=first, first=first, losses=losses)
        case events.Phase(name, done, of):
            return replace(status, phase=name, done=done, phase_of=of)
        case events.Step(step, of, loss, _, left):
            losses = (*status.losses, (step, loss))
            return replace(status, step=step, of=of, seconds_left=left, losses=losses, phase="", done=0, phase_of=0)
        case events.Sample():
            return replace(status, samples=(*status.samples, event))
        case events.Note(text):
            return replace(status, notes=(*status.notes, text))
        case events.Done(lora, sha256, steps, seconds):
            return replace(
                status,
                state="finished",
                step=steps,
                lora=lora,
                sha256=sha256,
                seconds=seconds,
                seconds_left=0,
                phase="",
            )
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
