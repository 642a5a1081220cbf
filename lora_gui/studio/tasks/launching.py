"""Bring a run's child to life: one at a time, in a folder that nobody works in, seen to be there before it counts."""

import contextlib
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.protocol import events
from lora_gui.protocol.jobs import TrainJob
from lora_gui.protocol.lock import Lock
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import process
from lora_gui.studio.tasks.run import START_LOCK, Run
from lora_gui.studio.things import bases

LOCK_WAIT = 20.0  # seconds
COMES = 120.0  # seconds a child gets to take its lock; a busy computer may take that long to start a program
LOOK = 0.02  # seconds between two looks whether a child has come

Watch = Callable[[Run, "subprocess.Popen[bytes]"], None]


def all_runs(studio: Studio) -> list[Run]:
    """Every run of the studio, the newest first."""
    there = (path for path in studio.runs.glob("*/job.json") if path.is_file())
    return [Run(path.parent) for path in sorted(there, reverse=True)]


def running(studio: Studio) -> Run | None:
    """The run that is going on, also one that another window or an earlier start of the app began."""
    return next((run for run in all_runs(studio) if run.lives() and not run.status().ended), None)


def require_none_running(studio: Studio) -> None:
    """Raises UserError if a run is going on; there is memory for one."""
    if running(studio):
        raise UserError("A training is already running.", "Wait until it is done, or stop it first.")


def check_disk(studio: Studio, job: TrainJob) -> None:
    """Checkpoints, samples and the LoRA grow with the base; refuse before hours are spent. Raises UserError."""
    files.make_folder(studio.loras)  # which may be a link to a drive that is not there
    needed = 500_000_000 + bases.size(job.base) // 10
    free = shutil.disk_usage(studio.runs).free
    if free < needed:
        raise UserError(
            f"Only {free / 1e9:.1f} GB are free on your studio's disk; this training needs {needed / 1e9:.1f} GB.",
            f"Make some space on the disk of {studio.home} and start again.",
        )


def starting(studio: Studio) -> contextlib.AbstractContextManager[None]:
    """While nobody else starts, resumes or ends a run. Raises UserError where another window does so for long."""
    otherwise = "Another window is just starting a training."
    return Lock(studio.runs / START_LOCK).alone(LOCK_WAIT, otherwise, "Look at it there, or try again in a moment.")


@contextlib.contextmanager
def alone(studio: Studio) -> Iterator[None]:
    """While nobody else can start a run. Raises UserError if one is running, or is being started by another window."""
    with starting(studio):
        require_none_running(studio)
        yield


def launch(run: Run, command: str, watch: Watch, processes: int = 1) -> Run:
    """Start the child that does `command` in the run's folder, and wait until it has the lock or is gone.

    `watch` is called in a thread of its own with a fresh view of the run and the child. Raises UserError where the
    folder of the run would lead out of the studio.
    """
    _require_own(run)
    with files.open_stream(run.files.events) as stdout, files.open_stream(run.log) as log:
        note = run.files.start_note() | {
            "processes": processes,
            "log": os.fstat(log.fileno()).st_size,  # what stands there is of an earlier start
            "memory_kills": process.memory_kills(),
            "boot": process.boot(),
        }
        files.write_json(run.files.started, note | {"in": False})
        child = process.start(command, str(run.folder.absolute()), stdout=stdout, stderr=log, processes=processes)
    try:
        until(lambda: run.lives() or child.poll() is not None, COMES)
    except KeyboardInterrupt:  # of a command; the child, which stands apart, would go on
        run.files.ask("stop")
        raise
    with contextlib.suppress(UserError):  # a full disk: the child lives all the same
        files.write_json(run.files.started, note | {"in": True, "pid": child.pid})
    threading.Thread(target=watch, args=(Run(run.folder), child), daemon=True).start()
    return run


def _require_own(run: Run) -> None:
    """A folder that came from somebody else may hold links, and a child writes into what it finds in its folder."""
    there = (Path(folder, name) for folder, *names in os.walk(run.folder) for name in (*names[0], *names[1]))
    for path in (run.folder, *there):
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            what = f"{path.name} in the run {run.folder.name} is a link or a device, which may lead to other places."
            raise UserError(what, "Start a new training instead.")
    studio = run.files.studio
    homes = [os.path.realpath(home) for home in (studio, studio / "pictures", process.ROOT)]
    for picture in run.job.pictures:
        if not any(Path(os.path.realpath(picture.path)).is_relative_to(home) for home in homes):
            what = f"The run {run.folder.name} learns from a picture outside of your studio, {picture.path}."
            raise UserError(what, "Start a new training with your own pictures.")


def go_on(
    studio: Studio, run: Run, job: TrainJob, command: str, watch: Watch, because: str = "", processes: int = 0
) -> None:
    """Clear away what was said of the last end and start the child; a crash in here leaves a run that can go on.

    `because` says why it goes on by itself; 0 `processes` are as many as it had here.
    """
    _require_own(run)
    check_disk(studio, job)
    if not until(lambda: not run.lives(), LOCK_WAIT):  # it has said its last word, but holds its memory yet
        raise UserError("This run is still ending.", "Try again in a moment.")
    processes = processes or run.processes()
    run.files.clear()
    run.files.write_job(job)
    files.append_line(run.files.events, events.to_line(events.Resumed(because)))
    if command == "publish":
        run.files.ask("stop")  # or it would look as if it trained on
    launch(run, command, watch, processes if command == "train" else 1)


def until(said: Callable[[], bool], seconds: float) -> bool:
    """Whether it comes true within so many seconds."""
    given_up = time.monotonic() + seconds
    while not said():
        if time.monotonic() > given_up:
            return False
        time.sleep(LOOK)
    return True
