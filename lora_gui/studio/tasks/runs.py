"""Parent side of a run. A run is a folder and the folder is the protocol: whoever opens it sees the same run."""

import contextlib
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lora_gui import files
from lora_gui.errors import UserError, nearest
from lora_gui.protocol import events
from lora_gui.protocol.jobs import Base, TrainJob, TrainPicture
from lora_gui.settings import TrainSettings, check
from lora_gui.studio.paths import Studio, new_id
from lora_gui.studio.tasks import process, retries
from lora_gui.studio.tasks.run import SIGNS, Run
from lora_gui.studio.tasks.status import RunStatus
from lora_gui.studio.things import bases
from lora_gui.studio.things.names import check_name, check_trigger
from lora_gui.studio.things.pictures import DROP, Picture

LOCK_WAIT = 20.0  # seconds


def new_job(
    studio: Studio,
    name: str,
    trigger: str,
    preset: str,
    base: Base,
    pictures: Sequence[Picture],
    settings: TrainSettings,
) -> TrainJob:
    """Check what the user typed and make a job of it. Raises UserError where it cannot be trained."""
    if not pictures:
        raise UserError("There are no pictures.", DROP)
    word, _ = check_trigger(trigger)
    return TrainJob(
        name=check_name(name),
        trigger=word,
        preset=preset,
        base=base,
        settings=settings,
        publish_to=str(studio.loras.resolve()),
        cache=str(studio.cache.resolve()),
        pictures=tuple(TrainPicture(path=str(p.path.resolve()), caption=p.caption) for p in pictures),
    )


def start(studio: Studio, job: TrainJob) -> Run:
    """Make the run's folder and start its child. Raises UserError if one is running or the disk is too full."""
    with _alone(studio):
        _check_disk(studio, job)
        folder = studio.runs / new_id()
        try:
            files.write_text(folder / "job.json", job.model_dump_json(indent=1))
            return _launch(studio, folder)
        except UserError:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def resume(studio: Studio, run: Run, steps: int | None = None, changes: dict[str, Any] | None = None) -> Run:
    """Start the child again in the run's folder: it goes on from the newest checkpoint as if nothing had happened.

    `steps` is the new total of a run that is finished; `changes` are other settings, for a run that failed with its
    own. Raises UserError where the run cannot go on.
    """
    with _alone(studio):
        job = _continued(run, steps, changes or {})
        _go_on(studio, run, job)
    return Run(run.folder)


def with_less_memory(studio: Studio, run: Run) -> bool:
    """Go on by itself where a run ran out of memory, at most twice in a row; returns whether it goes on.

    Whoever sees it first starts it; all others learn that it goes on.
    """
    try:
        with _alone(studio):
            status = run.status()
            if changes := retries.by_itself(run.job, status):
                because = f"{status.what} {retries.in_words(changes)}"
                _go_on(studio, run, _continued(run, None, changes), because=because)
    except UserError:  # it is going on already, or cannot; then it stays as it ended
        pass
    return not run.status().ended


def follow(studio: Studio, run: Run, say: Callable[[events.Event], None]) -> RunStatus:
    """Tell `say` every event of a run until it has come to its end and does not go on by itself."""
    status = run.follow(say)
    while status.cause == "memory" and with_less_memory(studio, run):
        status = run.follow(say)
    return status


def keep_lora(studio: Studio, run: Run) -> str:
    """Copy the LoRA of a run's newest checkpoint among the LoRAs, where it stays; returns its path."""
    kept = run.checkpoint()
    if kept is None:
        raise UserError("This run has not kept anything yet.", "Resume it.")
    target = studio.loras / f"{run.job.name}-step-{int(kept.name.removeprefix('ckpt-'))}.safetensors"
    if not target.exists():
        files.copy(kept / "adapter.safetensors", target)
    return str(target)


def stop(studio: Studio, run: Run) -> None:
    """End a run and save what it has learnt; for one that is paused or failed, its child is started for that alone."""
    if not run.status().ended:
        run.stop()
    elif run.status().resumable and run.checkpoint():
        with _alone(studio):
            _go_on(studio, run, run.job, "stop")
    else:
        raise UserError("This run has ended already.", "What it learnt is among your LoRAs.")


def _continued(run: Run, steps: int | None, changes: dict[str, Any]) -> TrainJob:
    """What the run is to do from now on."""
    job, status = run.job, run.status()
    if not run.is_as_ordered():
        raise UserError("What this run was asked to do was changed on the disk.", "Start a new one.")
    finished = status.state == "finished" and status.step >= job.settings.steps
    if steps is None:
        if finished:
            raise UserError("This run is finished.", "Train it further with more steps, or start a new one.")
    elif not finished:
        raise UserError("Only a run that is finished can be trained further.", "Resume it first.")
    elif steps <= job.settings.steps:
        raise UserError(f"This run has {job.settings.steps} steps already.", "Choose a larger number.")
    else:
        job = job.model_copy(update={"extended_at": (*job.extended_at, job.settings.steps)})
        changes = {"steps": steps}
    return job.model_copy(update={"settings": check(TrainSettings, job.settings.model_dump() | changes)})


def _go_on(studio: Studio, run: Run, job: TrainJob, sign: str = "", because: str = "") -> None:
    """Clear away what was said of the last end and start the child; a crash in here leaves a run that can go on.

    `because` says why it goes on by itself.
    """
    _check_disk(studio, job)
    child, given_up = run.child(), time.monotonic() + LOCK_WAIT
    while process.lives(child):  # it has said its last word, but holds its memory yet
        if time.monotonic() > given_up:
            raise UserError("This run is still ending.", "Try again in a moment.")
        time.sleep(0.1)
    for name in (*SIGNS, "alive", "child.json", "seen"):
        files.remove(run.folder / name)
    text = job.model_dump_json(indent=1)
    if (run.folder / "job.json").read_text(encoding="utf-8") != text:
        files.write_text(run.folder / "job.json", text)
    files.append_line(run.folder / "events.jsonl", events.to_line(events.Resumed(because)))
    if sign:
        files.touch(run.folder / sign)
    _launch(studio, run.folder)


@contextlib.contextmanager
def _alone(studio: Studio) -> Iterator[None]:
    """While nobody else can start a run. Raises UserError if one is running, or is being started by another window."""
    files.make_folder(studio.runs)
    try:
        with FileLock(studio.runs / ".start.lock", timeout=LOCK_WAIT):
            require_none_running(studio)
            yield
    except Timeout:
        raise UserError(
            "Another window is just starting a training.", "Look at it there, or try again in a moment."
        ) from None
    except OSError as error:
        raise UserError(
            f"The training could not be started ({error.strerror}).", f"Check that {studio.runs} can be written to."
        ) from None


def find(studio: Studio, name: str) -> Run:
    """The run called `name`: its folder, the folder's name, or the newest for a LoRA of that name."""
    for run in all_runs(studio):
        if name in (run.folder.name, str(run.folder)) or run.folder == Path(name).resolve():
            return run
    for run in all_runs(studio):
        with contextlib.suppress(UserError):
            if run.job.name.casefold() == name.casefold():
                return run
    known = [run.folder.name for run in all_runs(studio)]
    raise UserError(f"There is no run {name!r}.", nearest(name, known) if known else "Train a LoRA first.")


def all_runs(studio: Studio) -> list[Run]:
    """Every run of the studio, the newest first."""
    return [Run(path.parent) for path in sorted(studio.runs.glob("*/job.json"), reverse=True)]


def latest(studio: Studio) -> Run | None:
    return next(iter(all_runs(studio)), None)


def running(studio: Studio) -> Run | None:
    """The run that is going on, also one that another window or an earlier start of the app began."""
    return next((run for run in all_runs(studio) if run.lives() and not run.status().ended), None)


def require_none_running(studio: Studio) -> None:
    """Raises UserError if a run is going on; there is memory for one."""
    if running(studio):
        raise UserError("A training is already running.", "Wait until it is done, or stop it first.")


def _check_disk(studio: Studio, job: TrainJob) -> None:
    """Checkpoints, samples and the LoRA grow with the base; refuse before hours are spent."""
    needed = 500_000_000 + bases.size(job.base) // 10
    free = shutil.disk_usage(studio.runs).free
    if free < needed:
        raise UserError(
            f"Only {free / 1e9:.1f} GB are free on your studio's disk; this training needs {needed / 1e9:.1f} GB.",
            f"Make some space on the disk of {studio.home} and start again.",
        )


def _launch(studio: Studio, folder: Path) -> Run:
    with files.open_stream(folder / "events.jsonl") as stdout, files.open_stream(folder / "log.txt") as log:
        before = {
            "job": files.sha256(folder / "job.json"),
            "log": os.fstat(log.fileno()).st_size,  # what stands there is of an earlier start
            "memory_kills": process.memory_kills(),
        }
        child = process.start("train", str(folder.resolve()), stdout=stdout, stderr=log)
    files.write_json(folder / "child.json", (process.identity(child.pid) or {}) | before)
    threading.Thread(target=_watch, args=(studio, Run(folder), child), daemon=True).start()
    return Run(folder)


def _watch(studio: Studio, run: Run, child: subprocess.Popen[bytes]) -> None:
    """As long as this process lives, no window has to be open for a run to go on with less memory."""
    child.wait()
    if run.status().cause == "memory":
        with_less_memory(studio, run)
