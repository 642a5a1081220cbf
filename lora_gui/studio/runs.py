"""Parent side of a run. A run is a folder and the folder is the protocol: whoever opens it sees the same run."""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from lora_gui import events, files
from lora_gui.errors import UserError
from lora_gui.jobs import Base, TrainJob, TrainPicture
from lora_gui.settings import TrainSettings
from lora_gui.studio import bases, children
from lora_gui.studio.names import check_name, check_trigger
from lora_gui.studio.paths import Studio, new_id
from lora_gui.studio.pictures import DROP, Picture
from lora_gui.studio.status import Follower, RunStatus, after

STARTING = 10.0  # seconds between the folder of a run and its child, at most
LOCK_WAIT = 20.0  # seconds
RECENT = 30  # runs that an estimate looks at
# Seconds for one picture in one step and for loading, with the base that ships with the app on two cores; measured.
SHIPPED_SECONDS, SHIPPED_CORES, LOADING = 0.0125, 2, 20.0


class Run:
    """One training, known by its folder alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._follower = Follower(self.folder / "events.jsonl")

    @property
    def job(self) -> TrainJob:
        """What was ordered. Raises UserError where the run's folder is damaged."""
        try:
            return TrainJob.model_validate_json((self.folder / "job.json").read_bytes())
        except (OSError, ValidationError):
            raise UserError(f"The run {self.folder.name} is damaged.", "Start a new one.") from None

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    def stop(self) -> None:
        """Ask the run to finish its step and save what there is."""
        files.touch(self.folder / "stop")

    def status(self) -> RunStatus:
        """How it stands now, read from the folder alone."""
        alive = self.lives()  # asked first: a child that ends in between has written its last event by then
        status = self._follower.read()
        if status.ended:
            return status
        if not alive:
            return after(status, events.Failed(*children.cause(self.log)))
        return replace(status, state="stopping") if (self.folder / "stop").exists() else status

    def wait(self, pause: float = 0.25) -> Iterator[events.Event]:
        """Every event from the beginning to the last one, as they come; a child that died ends in a Failed."""
        follower = Follower(self.folder / "events.jsonl")
        while True:
            alive = self.lives()
            yield from follower.new_events()
            if follower.status.ended:
                return
            if not alive:
                yield events.Failed(*children.cause(self.log))
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
        """Whether its child is there, or may still be about to come."""
        known = files.read_json(self.folder / "alive") or files.read_json(self.folder / "child.json")
        return children.lives(known) if known else time.time() - self.folder.stat().st_mtime < STARTING


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
        pictures=tuple(TrainPicture(path=str(p.path.resolve()), caption=p.caption) for p in pictures),
    )


def start(studio: Studio, job: TrainJob) -> Run:
    """Make the run's folder and start its child. Raises UserError if one is running or the disk is too full."""
    files.make_folder(studio.runs)
    try:
        with FileLock(studio.runs / ".start.lock", timeout=LOCK_WAIT):
            require_none_running(studio)
            _check_disk(studio, job)
            return _launch(studio.runs / new_id(), job)
    except Timeout:
        raise UserError(
            "Another window is just starting a training.", "Look at it there, or try again in a moment."
        ) from None
    except OSError as error:
        raise UserError(
            f"The training could not be started ({error.strerror}).", f"Check that {studio.runs} can be written to."
        ) from None


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


def estimate(studio: Studio, settings: TrainSettings, base: Base) -> float | None:
    """Minutes a training will take on this computer, from earlier runs like it; None where nothing is known yet."""
    pictures = settings.steps * settings.batch_size * settings.accumulation
    for run in all_runs(studio)[:RECENT]:
        status = run.status()
        if status.state != "finished" or not status.step or not status.seconds:
            continue
        try:
            job = run.job
        except UserError:
            continue
        if job.base.path == base.path and _alike(job.settings, settings):
            done = status.step * job.settings.batch_size * job.settings.accumulation
            learning = max(status.seconds - LOADING / 2, status.seconds / 2)
            return (LOADING / 2 + learning * pictures / done) / 60
    if bases.ships_with_the_app(base):
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return (LOADING + pictures * SHIPPED_SECONDS * SHIPPED_CORES / min(cores, 8)) / 60
    return None


def _alike(one: TrainSettings, other: TrainSettings) -> bool:
    """Whether a step costs about the same for each picture."""
    fields = (
        "resolution",
        "precision",
        "gradient_checkpointing",
        "layers",
        "train_text_encoder",
        "batch_size",
        "optimizer",
    )
    return all(getattr(one, field) == getattr(other, field) for field in fields)


def _check_disk(studio: Studio, job: TrainJob) -> None:
    """Checkpoints, samples and the LoRA grow with the base; refuse before hours are spent."""
    needed = 500_000_000 + bases.size(job.base) // 10
    free = shutil.disk_usage(studio.runs).free
    if free < needed:
        raise UserError(
            f"Only {free / 1e9:.1f} GB are free on your studio's disk; this training needs {needed / 1e9:.1f} GB.",
            f"Make some space on the disk of {studio.home} and start again.",
        )


def _launch(folder: Path, job: TrainJob) -> Run:
    try:
        files.write_text(folder / "job.json", job.model_dump_json(indent=1))
        with files.open_stream(folder / "events.jsonl") as stdout, files.open_stream(folder / "log.txt") as log:
            child = children.start("train", str(folder.resolve()), stdout=stdout, stderr=log)
        files.write_json(folder / "child.json", children.identity(child.pid))
    except UserError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Run(folder)
