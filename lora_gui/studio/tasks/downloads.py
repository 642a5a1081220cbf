"""Downloads of known bases: started, paused, followed and given up, each known by its folder alone."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from lora_gui import files
from lora_gui.errors import UserError, nearest
from lora_gui.protocol import events
from lora_gui.protocol.jobs import DownloadJob
from lora_gui.protocol.lock import Lock
from lora_gui.protocol.task_folder import ASKS, TaskFolder, placed, unfinished
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import process
from lora_gui.studio.tasks.launching import until
from lora_gui.studio.tasks.status import Follower, RunStatus
from lora_gui.studio.things import bases

_START_LOCK = ".start.lock"  # among the downloads; held while one is being started or given up
_WAIT = 20.0  # seconds for that lock, and for a child to end that was asked to
_COMES = 60.0  # seconds a child gets to take its lock


@dataclass(frozen=True)
class DownloadStatus:
    """How a download stands; bytes and seconds. `doing` is what keeps it from getting on, `what` why it ended."""

    state: str = "none"  # none, starting, running, pausing, paused, stopping, failed, finished
    done: int = 0
    of: int = 0  # 0 as long as it is not known
    speed: float = 0.0
    seconds_left: float | None = None
    doing: str = ""
    notes: tuple[str, ...] = ()
    what: str = ""
    remedy: str = ""
    cause: str = ""  # `sign in` or `licence` where the user has to do something on the Hub first

    @property
    def goes_on(self) -> bool:
        """Whether a child works at it."""
        return self.state in ("starting", "running", "pausing", "stopping")


class Download:
    """The download of one known base into one studio."""

    def __init__(self, studio: Studio, base: str) -> None:
        self.base, self._target = base, studio.bases / base
        self._task = TaskFolder(studio.downloads / base)
        self._follower = Follower(self._task.events)

    @property
    def log(self) -> Path:
        return self._task.log

    def status(self) -> DownloadStatus:
        """How it stands now, read from the disk alone."""
        lives = self._task.lives()  # asked first: a child that ends in between has written its last event by then
        run = self._follower.read()
        if not lives and self._target.exists() and not unfinished(self._target).exists():
            return DownloadStatus("finished", notes=run.notes)
        if not self._task.job.is_file():
            return DownloadStatus()
        found = _status(run)
        if lives:
            goes_on = found if found.goes_on else replace(found, state="starting", what="", remedy="", cause="")
            return replace(goes_on, state=ASKS.get(self._task.asked(), goes_on.state))
        if found.goes_on:
            what, remedy = process.cause(self._task.log, _log_size(self._task))
            return replace(found, state="failed", what=what, remedy=remedy)
        return found

    def pause(self) -> None:
        """Let it end soon; what is here stays here."""
        if self._task.lives():
            self._task.ask("pause")

    def cancel(self) -> None:
        """End it and delete what is here of it. Raises UserError where its child does not end."""
        with _alone(self._task.path.parent):
            if self._task.lives():
                self._task.ask("stop")
                if not until(lambda: not self._task.lives(), _WAIT):
                    raise UserError(f"The download of {self.base} does not end.", "Try again in a moment.")
            for folder in (unfinished(self._target), self._task.path):
                if folder.is_dir():
                    files.remove_folder(folder)

    def wait(self, pause: float = 0.25) -> Iterator[DownloadStatus]:
        """How it stands, again and again, to its end."""
        while (now := self.status()).goes_on:
            yield now
            time.sleep(pause)
        yield now


def start(studio: Studio, base: str) -> Download:
    """Begin a download, or go on with it; one that goes on already, whoever began it, is shared.

    Raises UserError where there is no such base to be had, or it is here.
    """
    _require_wanted(studio, base)
    download = Download(studio, base)
    with _alone(studio.downloads):
        if not download._task.lives():
            _launch(studio, download._task, DownloadJob(base=base, into=placed(str(studio.bases), studio.home)))
    return download


def begun(studio: Studio) -> list[Download]:
    """Every download that is not finished, by name; what is left of finished ones is put away."""
    found = []
    for path in sorted(studio.downloads.glob("*/job.json")):
        one = Download(studio, path.parent.name)
        if one.status().state != "finished":
            found.append(one)
        else:
            files.remove_folder(path.parent)
    return found


def sign_in(studio: Studio, token: str) -> str:
    """Have huggingface_hub keep the user's token; whose it is. Raises UserError where the Hub does not know it."""
    said = process.ask("sign_in", [" ".join(token.split())], studio.cache / "sign-in.txt", seconds=120)
    return next((event.text for event in said if isinstance(event, events.Note)), "")


def _require_wanted(studio: Studio, base: str) -> None:
    known = bases.known_bases()
    if base not in known:
        raise UserError(f"There is no base {base!r}.", nearest(base, known))
    if not known[base].repo:
        raise UserError(f"{known[base].title} comes with the app.", "Get the app again where it is missing.")
    here = {one.key: one for one in bases.list_bases(studio)}
    if base in here:
        raise UserError(f"{known[base].title} is on this computer already, in {here[base].path}.", "Use it.")
    if (studio.bases / base).exists():
        what = f"There is a folder {studio.bases / base} that is no whole base."
        raise UserError(what, "Move it away or delete it, and try again.")


def _launch(studio: Studio, task: TaskFolder, job: DownloadJob) -> None:
    """Start the child, and wait until it has the lock or is gone."""
    files.make_folder(unfinished(studio.bases / job.base))
    task.path.mkdir(parents=True, exist_ok=True)
    task.clear()
    files.write_text(task.job, job.model_dump_json())
    if task.events.is_file():
        files.append_line(task.events, events.to_line(events.Resumed()))
    with files.open_stream(task.events) as stdout, files.open_stream(task.log) as log:
        files.write_json(task.started, task.start_note() | {"log": os.fstat(log.fileno()).st_size})
        child = process.start("download", str(task.path.absolute()), stdout=stdout, stderr=log)
    until(lambda: task.lives() or child.poll() is not None, _COMES)


def _status(run: RunStatus) -> DownloadStatus:
    state = {"queued": "starting", "stopped": "none"}.get(run.state, run.state)
    moved = run.transfer or events.Transfer(0, 0)
    steady = state == "running" and not run.phase
    return DownloadStatus(
        state=state,
        done=moved.done,
        of=moved.of,
        speed=moved.speed if steady else 0.0,
        seconds_left=moved.seconds_left if steady else None,
        doing=run.phase,
        notes=run.notes,
        what=run.what,
        remedy=run.remedy,
        cause=run.cause,
    )


def _log_size(task: TaskFolder) -> int:
    noted = task.read_started().get("log")
    return noted if isinstance(noted, int) else 0


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """While nobody else starts or gives up a download. Raises UserError where another window does so for long."""
    files.make_folder(folder)
    lock = Lock(folder / _START_LOCK)
    if not lock.hold(_WAIT):
        raise UserError("Another window is just starting a download.", "Try again in a moment.")
    try:
        yield
    finally:
        lock.release()
