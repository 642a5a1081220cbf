"""Runs that wait their turn: one after the other, in an order that can be changed, over any restart of the app."""

import contextlib
import shutil
import threading
from collections.abc import Iterator

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.protocol import events
from lora_gui.protocol.jobs import TrainJob
from lora_gui.protocol.lock import Lock, is_held
from lora_gui.protocol.task_folder import VERSION
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import runs
from lora_gui.studio.tasks.launching import LOCK_WAIT, alone, check_disk, launch
from lora_gui.studio.tasks.run import QUEUE, START_LOCK, Run, is_queue_held, queued

EDIT_LOCK = ".queue.lock"  # among the runs
SECONDS = 2.0  # between two looks whether the next one's turn has come


def add(studio: Studio, job: TrainJob) -> Run:
    """Let a run wait its turn, which comes at once where nothing runs. Raises UserError where the disk is too full."""
    files.make_folder(studio.runs)
    check_disk(studio, job)
    with _editing(studio) as order:
        run = runs.make(studio, job)
        order.append(run.folder.name)
    advance(studio)
    return run


def waiting(studio: Studio) -> list[Run]:
    """The runs whose turn has not come, in order."""
    return [Run(studio.runs / name) for name in _order(studio)]


def stirs(studio: Studio) -> bool:
    """Whether a run is about to come by itself: some wait and nobody holds them, or one is just being started."""
    waits = bool(_order(studio)) and not is_queue_held(studio.runs)
    return waits or is_held(studio.runs / START_LOCK)


def move(studio: Studio, run: Run, place: int) -> None:
    """Let a waiting run come as number `place`, from 1. Raises UserError where it does not wait any more."""
    with _editing(studio) as order:
        _require(order, run)
        order.remove(run.folder.name)
        order.insert(max(0, place - 1), run.folder.name)


def remove(studio: Studio, run: Run) -> None:
    """Take a waiting run out, with its folder. Raises UserError where it does not wait any more."""
    with _editing(studio) as order:
        _require(order, run)
        order.remove(run.folder.name)
        shutil.rmtree(run.folder, ignore_errors=True)


def hold(studio: Studio, held: bool) -> None:
    """Let nobody's turn come until told otherwise, as when a run is paused to have the computer for something else."""
    if held != is_queue_held(studio.runs) and (queued(studio.runs) or not held):
        with _editing(studio, held):
            pass


def advance(studio: Studio) -> Run | None:
    """Start the run whose turn it is, where nothing runs and the queue is not held; None where none was started.

    A run that cannot be started is left where it is, ended, with the reason among its events; the next one comes.
    """
    while queued(studio.runs) and not is_queue_held(studio.runs):
        try:
            with alone(studio):
                with _editing(studio) as order:
                    name = order.pop(0) if order else ""
                if name and (begun := _begun(studio, Run(studio.runs / name))):
                    return begun
        except UserError:  # one is running, or is just being started
            return None
    return None


def _begun(studio: Studio, run: Run) -> Run | None:
    """The run once its child works; None where it cannot, which is said in its folder."""
    try:
        return launch(run, "train", runs.watch(studio))
    except UserError as error:  # a picture that is gone, a folder that holds links: those are not written through
        if not (run.folder.is_symlink() or run.files.events.is_symlink()):
            with contextlib.suppress(UserError):
                files.append_line(run.files.events, events.to_line(events.Failed(error.what, error.remedy)))
        return None


class Followed(Run):
    """A run that is followed here, and knows whether Ctrl-C has stopped it: all others ask its folder."""

    by_hand = False

    def stop(self) -> None:
        """As ever, and remembered."""
        self.by_hand = True
        super().stop()


class Attendant:
    """As long as a window is open, brings up the run whose turn has come, whoever started the one before it."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._over = studio, threading.Event()
        threading.Thread(target=self._attend, daemon=True).start()

    def close(self) -> None:
        self._over.set()

    def _attend(self) -> None:
        while not self._over.wait(SECONDS):
            with contextlib.suppress(OSError):  # a drive that is away for a moment; the next look may find it
                advance(self._studio)


@contextlib.contextmanager
def _editing(studio: Studio, held: bool | None = None) -> Iterator[list[str]]:
    """The order of the waiting runs, to be changed in place while nobody else changes it; then written down."""
    with Lock(studio.runs / EDIT_LOCK).alone(LOCK_WAIT, "Another window is just changing the queue."):
        order = _order(studio)
        yield order
        keep = is_queue_held(studio.runs) if held is None else held
        files.write_json(studio.runs / QUEUE, {"version": VERSION, "held": keep and bool(order), "order": order})


def _order(studio: Studio) -> list[str]:
    """The folder names of the waiting runs, without those whose folder is gone."""
    return [name for name in queued(studio.runs) if (studio.runs / name / "job.json").is_file()]


def _require(order: list[str], run: Run) -> None:
    if run.folder.name not in order:
        raise UserError("This run does not wait any more.", "Look at it under Runs.")
