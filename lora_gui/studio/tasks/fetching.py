"""What is fetched from elsewhere, each known by its folder alone: started once, paused, followed, ended."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.protocol import events
from lora_gui.protocol.lock import Lock
from lora_gui.protocol.task_folder import ASKS, TaskFolder, unfinished
from lora_gui.studio.tasks import process
from lora_gui.studio.tasks.launching import until
from lora_gui.studio.tasks.status import Follower, RunStatus

_START_LOCK = ".start.lock"  # among them; held while one is being started or ended for good
_WAIT = 20.0  # seconds for that lock, and for a child to end that was asked to
_COMES = 60.0  # seconds a child gets to take its lock


@dataclass(frozen=True)
class FetchStatus:
    """How it stands; bytes and seconds. `doing` is what keeps it from getting on, `what` why it ended."""

    state: str = "none"  # none, starting, running, pausing, paused, stopping, failed, finished
    done: int = 0
    of: int = 0  # 0 as long as it is not known
    speed: float = 0.0
    seconds_left: float | None = None
    doing: str = ""
    notes: tuple[str, ...] = ()
    what: str = ""
    remedy: str = ""
    cause: str = ""  # `sign in`, `licence` or `choose` where the user has to do something first
    found: dict[str, Any] = field(default_factory=dict)  # what a link leads to, as `events.Found` has it

    @property
    def goes_on(self) -> bool:
        """Whether a child works at it."""
        return self.state in ("starting", "running", "pausing", "stopping")


class Fetching:
    """One thing that is fetched, in the folder of its task; into a folder of its own, `target`, where it has one."""

    command = ""  # of the worker

    def __init__(self, folder: Path, target: Path | None = None) -> None:
        self.task, self._target = TaskFolder(folder), target
        self._follower = Follower(self.task.events)

    def is_here(self) -> bool:
        """Whether it has come, whole."""
        return self._target is not None and self._target.exists() and not unfinished(self._target).exists()

    def leftovers(self) -> list[Path]:
        """The folders that hold what has come of it so far."""
        return [*([unfinished(self._target)] if self._target else []), self.task.path]

    def status(self) -> FetchStatus:
        """How it stands now, read from the disk alone."""
        lives = self.task.lives()  # asked first: a child that ends in between has written its last event by then
        run = self._follower.read()
        if not lives and self.is_here():
            return replace(_status(run), state="finished", what="", remedy="", cause="")
        if not self.task.job.is_file():
            return FetchStatus()
        found = _status(run)
        if lives:
            going = found if found.goes_on else replace(found, state="starting", what="", remedy="", cause="")
            return replace(going, state=ASKS.get(self.task.asked(), going.state))
        if found.goes_on:
            noted = self.task.read_started().get("log")
            what, remedy = process.cause(self.task.log, noted if isinstance(noted, int) else 0)
            return replace(found, state="failed", what=what, remedy=remedy)
        return found

    def pause(self) -> None:
        """Let it end soon; what is here stays here."""
        if self.task.lives():
            self.task.ask("pause")

    def cancel(self) -> None:
        """End it and delete what is here of it. Raises UserError where its child does not end."""
        with alone(self.task.path.parent):
            if self.task.lives():
                self.task.ask("stop")
                if not until(lambda: not self.task.lives(), _WAIT):
                    raise UserError("The download does not end.", "Try again in a moment.")
            for folder in self.leftovers():
                if folder.is_dir():
                    files.remove_folder(folder)

    def wait(self, pause: float = 0.25) -> Iterator[FetchStatus]:
        """How it stands, again and again, to its end."""
        while (now := self.status()).goes_on:
            yield now
            time.sleep(pause)
        yield now

    def begin(self, job: BaseModel) -> None:
        """Start its child, or leave the one that works at it be. Raises UserError where the disk refuses."""
        with alone(self.task.path.parent):
            if not self.task.lives():
                self._launch(job)

    def _launch(self, job: BaseModel) -> None:
        """Start the child, and wait until it has the lock or is gone."""
        task = self.task
        for folder in self.leftovers():
            files.make_folder(folder)
        task.clear()
        files.write_text(task.job, job.model_dump_json())
        if task.events.is_file():
            files.append_line(task.events, events.to_line(events.Resumed()))
        with files.open_stream(task.events) as stdout, files.open_stream(task.log) as log:
            files.write_json(task.started, task.start_note() | {"log": os.fstat(log.fileno()).st_size})
            child = process.start(self.command, str(task.path.absolute()), stdout=stdout, stderr=log)
        try:
            until(lambda: task.lives() or child.poll() is not None, _COMES)
        except KeyboardInterrupt:  # of a command; the child, which stands apart, would go on
            task.ask("pause")
            raise


def alone(folder: Path) -> contextlib.AbstractContextManager[None]:
    """While nobody else starts or ends one in a folder. Raises UserError where another window does so for long."""
    return Lock(folder / _START_LOCK).alone(_WAIT, "Another window is just starting a download.")


def _status(run: RunStatus) -> FetchStatus:
    moved = run.transfer or events.Transfer(0, 0)
    steady = run.state == "running" and not run.phase
    return FetchStatus(
        state={"queued": "starting", "stopped": "none"}.get(run.state, run.state),
        done=moved.done,
        of=moved.of,
        speed=moved.speed if steady else 0.0,
        seconds_left=moved.seconds_left if steady else None,
        doing=run.phase,
        notes=run.notes,
        what=run.what,
        remedy=run.remedy,
        cause=run.cause,
        found=run.found,
    )
