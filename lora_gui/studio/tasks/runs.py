"""Parent side of runs: start, resume, stop, end by force, find, keep and delete them."""

import contextlib
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from send2trash import send2trash

from lora_gui import files
from lora_gui.errors import UserError, nearest
from lora_gui.protocol import events
from lora_gui.protocol.jobs import Base, TrainJob
from lora_gui.settings import TrainSettings, check
from lora_gui.studio.library import notes
from lora_gui.studio.paths import Studio, new_id
from lora_gui.studio.tasks import process, retries
from lora_gui.studio.tasks.launching import (
    LOCK_WAIT,
    Watch,
    all_runs,
    alone,
    check_disk,
    go_on,
    launch,
    require_none_running,
    running,
    starting,
    until,
)
from lora_gui.studio.tasks.run import Run, Summary, queued
from lora_gui.studio.tasks.status import RunStatus
from lora_gui.studio.things import triggers
from lora_gui.studio.things.names import check_name
from lora_gui.studio.things.pictures import DROP, Picture

__all__ = ["Run", "all_runs", "require_none_running", "running"]

HANGS = 20.0  # seconds without a heartbeat after which a child that was asked something is ended by force


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
    return TrainJob(
        name=check_name(name),
        trigger=triggers.usable(trigger),
        preset=preset,
        base=base,
        settings=settings,
        publish_to=str(studio.loras.resolve()),
        cache=str(studio.cache.resolve()),
        pictures=tuple(picture.learnt() for picture in pictures),
    )


def start(studio: Studio, job: TrainJob, processes: int = 1) -> Run:
    """Make the run's folder and start its child. Raises UserError if one is running or the disk is too full.

    Several `processes` train together, each on a card of its own, and learn as one with so many times the batch.
    """
    with alone(studio):
        check_disk(studio, job)
        run = make(studio, job)
        try:
            return launch(run, "train", watch(studio), processes)
        except UserError:
            shutil.rmtree(run.folder, ignore_errors=True)
            raise


def make(studio: Studio, job: TrainJob) -> Run:
    """The folder of a new run, which nobody works in yet; call it while nobody else can start one."""
    run = Run(studio.runs / new_id(studio.runs))
    run.files.write_job(job)
    return run


def resume(
    studio: Studio, run: Run, steps: int | None = None, changes: dict[str, Any] | None = None, processes: int = 0
) -> Run:
    """Start the child again in the run's folder: it goes on from the newest checkpoint as if nothing had happened.

    `steps` is the new total of a run that is finished; `changes` are other settings, for a run that failed with its
    own. 0 `processes` are as many as before. Raises UserError where the run cannot go on.
    """
    if run.status().state == "waiting":
        raise UserError("This run waits for its turn.", "Move it to the first place of the queue: queue move RUN 1.")
    with alone(studio):
        job = _continued(run, steps, changes or {})
        _remember_lora(studio, run)
        go_on(studio, run, job, "train", watch(studio), processes=processes)
    return Run(run.folder)


def with_less_memory(studio: Studio, run: Run) -> bool:
    """Go on by itself where a run ran out of memory, at most twice in a row; returns whether it goes on.

    Whoever sees it first starts it; all others learn that it goes on, or went on meanwhile.
    """
    seen = run.status().retries
    try:
        with alone(studio):
            status = run.status()
            if changes := retries.by_itself(run.job, status):
                because = f"{status.what} {retries.in_words(changes)}"
                go_on(studio, run, _continued(run, None, changes), "train", watch(studio), because)
    except UserError:  # it is going on already, or cannot; then it stays as it ended
        pass
    now = run.status()
    return not now.ended or now.retries > seen


def follow(studio: Studio, run: Run, say: Callable[[events.Event], None]) -> RunStatus:
    """Tell `say` every event of a run until it has come to its end and does not go on by itself."""
    status = run.follow(say)
    while not status.ended or (status.cause == "memory" and with_less_memory(studio, run)):
        status = run.follow(say)  # another thread may have let it go on already
    return status


def pause(studio: Studio, run: Run) -> None:
    """Ask a run to keep everything and give its memory back; one that hangs is ended by force.

    Raises UserError for one that waits for its turn.
    """
    _require_begun(run)
    if not run.status().ended:
        _insist(studio, run, "pause")


def stop(studio: Studio, run: Run) -> None:
    """End a run and save what it has learnt; one that is paused or failed publishes its checkpoint.

    A child whose heart does not beat is ended by force. Raises UserError for a run that has ended already, or waits.
    """
    _require_begun(run)
    status = run.status()
    if not status.ended:
        _insist(studio, run, "stop")
    elif status.resumable and run.checkpoint():
        with alone(studio):
            go_on(studio, run, run.job, "publish", watch(studio))
    elif status.resumable and not status.lora:
        raise UserError("This run ended before it had learnt anything.", "Resume it, or delete it.")
    else:
        raise UserError("This run has ended already.", "What it learnt is among your LoRAs.")


def end(studio: Studio, run: Run) -> None:
    """End the child by force, and do what it was asked for with what its newest checkpoint holds."""
    with starting(studio):
        if beat := run.beat():
            process.kill(beat[0])
        if not until(lambda: not run.lives(), LOCK_WAIT):
            raise UserError("The training cannot be ended by force.", "Restart the computer; what was kept stays.")
        asked = run.files.asked()
        if not run.died() or not asked:
            return
        if asked == "stop" and run.checkpoint():
            go_on(studio, run, run.job, "publish", watch(studio))
            return
        step = run.files.reached()
        last = events.Stopped(step) if asked == "stop" else events.Paused(step)
        files.append_line(run.files.events, events.to_line(last))


def find(studio: Studio, name: str) -> Run:
    """The run called `name`: its folder, the folder's name, or the newest for a LoRA of that name."""
    known, place = all_runs(studio), os.path.realpath(name) if name else ""
    for run in known:
        if name in (run.folder.name, str(run.folder)) or os.path.realpath(run.folder) == place:
            return run
    for run in known:
        with contextlib.suppress(UserError):
            if run.job.name.casefold() == name.casefold():
                return run
    hint = nearest(name, [run.folder.name for run in known]) if known else "Train a LoRA first."
    raise UserError(f"There is no run {name!r}.", hint)


def summaries(studio: Studio) -> list[Summary]:
    """Every run in short, the newest first; quick for hundreds of long ones."""
    return [run.summary() for run in all_runs(studio)]


def latest(studio: Studio) -> Run | None:
    return next(iter(all_runs(studio)), None)


def size(run: Run) -> int:
    """Bytes of the run's folder; its LoRA, which lies among the others, not counted."""
    return sum(path.stat().st_size for path in run.folder.rglob("*") if path.is_file())


def delete(studio: Studio, run: Run) -> None:
    """Move a run's folder to the system's bin; its LoRA stays. Raises UserError while it goes on or waits."""
    _require_begun(run)
    if not run.status().ended:
        raise UserError("This run is going on.", "Stop it first.")
    _remember_lora(studio, run)
    try:
        send2trash(run.folder)
    except OSError:
        raise UserError("The run could not be moved to the bin.", f"Delete {run.folder} by hand.") from None


def _remember_lora(studio: Studio, run: Run) -> None:
    """Let its LoRA be known as made here where the run will not say so any more. Raises UserError on a full disk."""
    made = Path(run.status().lora or "none")
    if made.parent == studio.loras and made.is_file():
        notes.change(studio, made.stem, run=run.folder.name)


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
        changes = changes | {"steps": steps}
    return job.model_copy(update={"settings": check(TrainSettings, job.settings.model_dump() | changes)})


def _require_begun(run: Run) -> None:
    """Raises UserError while it waits for its turn: nobody is there yet who would do what it is asked."""
    if run.folder.name in queued(run.folder.parent):
        remedy = f"Take it out under Runs, or with: python -m lora_gui queue remove {run.folder.name}"
        raise UserError("This run waits for its turn.", remedy)


def _insist(studio: Studio, run: Run, what: str) -> None:
    """Ask a run to `stop` or `pause`, and see to it in a thread that it does."""
    run.files.ask(what)
    threading.Thread(target=_end_if_it_hangs, args=(studio, run), daemon=True).start()


def _end_if_it_hangs(studio: Studio, run: Run) -> None:
    """End a child by force that was asked something and whose heart does not beat any more."""
    last, since = run.beat(), time.monotonic()
    while run.lives():
        time.sleep(1)
        now = run.beat()
        if now != last:
            last, since = now, time.monotonic()
        elif time.monotonic() - since > HANGS:
            with contextlib.suppress(UserError):  # another window has done it
                end(studio, run)
            return


def watch(studio: Studio) -> Watch:
    """What is done about a child as long as this process lives, so that no window has to be open for it."""

    def watched(run: Run, child: "subprocess.Popen[bytes]") -> None:
        child.wait()
        if run.status().cause == "memory":
            with_less_memory(studio, run)

    return watched
