"""One run, known by its folder alone: what was ordered, how it stands, and what it can be asked."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.protocol import events
from lora_gui.protocol.jobs import TrainJob
from lora_gui.protocol.lock import is_held
from lora_gui.protocol.task_folder import ASKS, Reached, TaskFolder, placed
from lora_gui.protocol.whereabouts import machine
from lora_gui.studio.tasks import process
from lora_gui.studio.tasks.status import Follower, RunStatus, after, brief, ended

START_LOCK = ".start.lock"  # among the runs; held while one is being started
QUEUE = "queue.json"  # among the runs
ENDED_THERE = "It ended on another computer, and its LoRA is there."
TAKE = "Take it back with: python -m lora_gui take FOLDER"


@dataclass(frozen=True)
class Summary:
    """A run in a list. Texts of a damaged one are empty."""

    folder: Path
    name: str
    preset: str
    base_title: str
    state: str
    step: int
    of: int
    lora: str
    seconds: float  # of its latest start
    first: int  # the step that start went on from
    what: str


class Run:
    """One training, known by its folder alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.files = TaskFolder(self.folder)
        self._follower = Follower(self.files.events)
        self._unheld, self._grew = False, False  # at the last look; whether it grew while nobody held it

    @property
    def job(self) -> TrainJob:
        """What was ordered. Raises UserError where the run's folder is damaged."""
        return self.files.read_job()

    @property
    def log(self) -> Path:
        return self.files.log

    def stop(self) -> None:
        """Ask the run to finish its step and save what there is."""
        self.files.ask("stop")

    def pause(self) -> None:
        """Ask the run to keep everything and to give its memory back."""
        self.files.ask("pause")

    def status(self) -> RunStatus:
        """How it stands now, read from the folder alone."""
        alive = self.lives()  # asked first: a child that ends in between has written its last event by then
        status = self._follower.read()
        self._grew = not alive and not status.ended and (self._grew or (self._unheld and self._follower.grows))
        self._unheld = not alive
        if status.ended:
            return self._at_home(status)
        if alive:
            return replace(status, state=ASKS.get(self.files.asked(), status.state))
        if waits_or_starts := self._is_to_come():
            return replace(status, state=waits_or_starts)
        if self.is_elsewhere():
            return replace(status, state=ASKS.get(self.files.asked(), "elsewhere"), seconds_left=None)
        return after(status, self._died())

    def is_elsewhere(self) -> bool:
        """Whether another computer has it, as far as one can see: it was started there; or nobody says where, and it
        grows while no process of this one holds it. Whether a process lives there cannot be seen: no clock tells."""
        at = self.files.read_started().get("machine")
        return at != machine() if isinstance(at, str) and at else self._grew

    def _at_home(self, status: RunStatus) -> RunStatus:
        """The status of a run that has ended; if it did so elsewhere its LoRA is not here, whatever has its name."""
        if not status.lora or not self.is_elsewhere():
            return status
        return replace(status, lora="", seconds=0.0, what=ENDED_THERE, remedy=TAKE)

    def summary(self) -> Summary:
        """In short; of a run that has ended, without reading what it said on the way."""
        known = self._result() or self._remembered()
        of = known.of
        try:
            job = self.job
            named = job.name, job.preset, job.base.title
            of = of or (job.settings.steps if known.step else 0)  # a start that only published names none
        except UserError:
            named = self.folder.name, "", ""
        return Summary(
            self.folder, *named, known.state, known.step, of, known.lora, known.seconds, known.first, known.what
        )

    def wait(self, pause: float = 0.25) -> Iterator[events.Event]:
        """Every event of its latest start, as they come, to the last one; a child that died ends in a Failed."""
        follower = Follower(self.files.events)
        while True:
            alive = self.lives() or bool(self._is_to_come()) or self.is_elsewhere()
            new = follower.new_events()
            starts = [n for n, event in enumerate(new) if isinstance(event, events.Resumed)]
            yield from new[starts[-1] + 1 :] if starts else new
            if follower.status.ended:
                return
            if not alive:
                yield self._died()
                return
            time.sleep(pause)

    def follow(self, say: Callable[[events.Event], None]) -> RunStatus:
        """Tell `say` every event until the end. Ctrl-C stops the run properly, and it is followed on to its end."""
        try:
            for event in self.wait():
                say(event)
        except KeyboardInterrupt:
            self.stop()
            say(events.Note("Stopping: what was learnt is being saved."))
            for _ in self.wait():
                pass
        return self.status()

    def lives(self) -> bool:
        """Whether a child works in its folder."""
        return self.files.lives()

    def beat(self) -> tuple[int, int] | None:
        """Process id and heartbeat of the living child; None where there is none. Only the id of a holder is sure."""
        said = files.read_json(self.files.beat) if self.lives() else None
        try:
            return (int(said["pid"]), int(said["beat"])) if isinstance(said, dict) else None
        except (KeyError, TypeError, ValueError, OverflowError):
            return None

    def checkpoint(self) -> Path | None:
        """The folder of the newest state it can go on from."""
        return self.files.newest_checkpoint()

    def is_as_ordered(self) -> bool:
        """Whether its order is still what its latest child was started with."""
        return self.files.read_started().get("job") in (None, files.sha256(self.files.job))

    def processes(self) -> int:
        """How many processes its latest start on this computer had."""
        started = self.files.read_started()
        noted = started.get("processes")
        return noted if isinstance(noted, int) and noted > 0 and started.get("machine") == machine() else 1

    def note_lora(self, path: Path) -> None:
        """Note where the LoRA lies by now that it ended with, and what is in its file. Raises UserError."""
        status = self.status()
        last = self._last_of(status)
        if self.lives() or not isinstance(last, events.Done | events.Stopped):
            return
        last = replace(last, lora=str(path), sha256=files.sha256(path))
        written = events.relocated(last, lambda place: placed(place, self.files.studio))
        files.append_line(self.files.events, events.to_line(written))
        self.files.write_result(last, Reached(status.first, status.step, status.of))

    def died(self) -> bool:
        """Whether its child ended without a last word."""
        alive = self.lives()
        return not (self._follower.read().ended or alive)

    def _is_to_come(self) -> str:
        """`queued` while it is being started, `waiting` while its turn has not come; how it is ended by force."""
        runs, asked = self.folder.parent, self.files.asked()
        has_come = self.files.read_started().get("in")
        if (asked or not has_come) and is_held(runs / START_LOCK):
            return ASKS.get(asked, "queued")
        return "waiting" if self.folder.name in queued(runs) else ""

    def _result(self) -> RunStatus | None:
        """Of its latest start, as the child or whoever found it dead wrote it down."""
        found = None if self.lives() else self.files.read_result()
        if found is None:
            return None
        last, reached = found
        return self._at_home(ended(RunStatus(first=reached.first, step=reached.step, of=reached.of), last))

    def _remembered(self) -> RunStatus:
        """In short; of a run that has ended it is written down for the next time."""
        if self.lives() or self._is_to_come() or self.is_elsewhere():
            return self.status()
        status = brief(self.files.events)
        if not status.ended:
            status = after(status, self._died())
        if self.files.started.is_file():
            with contextlib.suppress(UserError):  # a full disk; it is read in full the next time
                self.files.write_result(self._last_of(status), Reached(status.first, status.step, status.of))
        return status

    def _last_of(self, status: RunStatus) -> events.Last:
        """The last event that leads to this status."""
        match status.state:
            case "finished":
                return events.Done(status.lora, status.sha256, status.step, status.seconds)
            case "stopped":
                return events.Stopped(status.step, status.lora, status.sha256)
            case "paused":
                return events.Paused(status.step, status.what, status.remedy)
        return events.Failed(status.what, status.remedy, cause=status.cause)

    def _died(self) -> events.Failed:
        """Why its child ended without a last word; only what is sure is named as its cause."""
        started = self.files.read_started()
        if not started:
            return events.Failed("This training was not started.", "Resume it.")
        since = started.get("log")
        said = process.cause(self.log, since if isinstance(since, int) else 0)
        if process.killed_for_memory(started):
            said = process.TOO_LITTLE_MEMORY
        return events.Failed(*said, cause="memory" if said == process.TOO_LITTLE_MEMORY else "")


def queued(runs: Path) -> list[str]:
    """The folder names of the runs whose turn has not come, in order."""
    order = _queue(runs).get("order")
    names = order if isinstance(order, list) else []
    return [name for name in names if isinstance(name, str) and name == Path(name).name and name not in ("", "..")]


def is_queue_held(runs: Path) -> bool:
    """Whether nobody's turn comes until the user says so."""
    return _queue(runs).get("held") is True


def _queue(runs: Path) -> dict[str, Any]:
    said = files.read_json(runs / QUEUE)
    return said if isinstance(said, dict) else {}
