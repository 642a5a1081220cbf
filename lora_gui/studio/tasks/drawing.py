"""The parent side of the resident child that draws: orders, how each stands, and what becomes of them if it dies."""

import queue
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.protocol import events
from lora_gui.protocol.jobs import Base, DrawJob
from lora_gui.settings import DrawSettings
from lora_gui.studio.capacity import fit
from lora_gui.studio.paths import Studio, new_id
from lora_gui.studio.tasks import process
from lora_gui.studio.tasks.order import prepared, shots

PATIENCE = 5.0  # seconds a child gets to end by itself
UNANSWERED = 10.0  # seconds after which a child that does not answer a cancel is ended by force
NO_START = "The drawing part of the app does not start."


@dataclass(frozen=True)
class DrawStatus:
    """How an order stands. `done` and `of` count drawings; within one, `step` and `steps` count its steps."""

    state: str = "queued"  # queued, drawing, done, stopped, failed
    preview: Path | None = None
    drawings: tuple[Path, ...] = ()
    seeds: tuple[int, ...] = ()  # of the drawings
    done: int = 0
    of: int = 0
    step: int = 0
    steps: int = 0
    phase: str = ""
    notes: tuple[str, ...] = ()
    what: str = ""
    remedy: str = ""

    @property
    def ended(self) -> bool:
        return self.state in ("done", "stopped", "failed")


class _Child:
    """One drawing child. Lines are written to it by a thread, so that one that hangs makes nobody wait."""

    def __init__(self, log: Path) -> None:
        with process.open_log(log) as errors:
            self.since = errors.tell()  # what stands before is another child's
            self.process = process.start("draw", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        threading.Thread(target=self._write, daemon=True).start()

    @property
    def lives(self) -> bool:
        return self.process.poll() is None

    def send(self, message: dict[str, Any]) -> None:
        self._lines.put(process.to_line(message))

    def close(self) -> None:
        """Let it end after the orders it has; by force where it does not."""
        self._lines.put(None)
        try:
            self.process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _write(self) -> None:
        assert self.process.stdin
        try:
            while line := self._lines.get():
                self.process.stdin.write(line)
                self.process.stdin.flush()
            self.process.stdin.close()
        except (OSError, ValueError):  # it has died, which whoever listens to it says
            pass


class Drawer:
    """Owns the child that keeps the base and the stack warm; one for the whole app, for any number of threads."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._changed = threading.Condition()
        self._orders: dict[str, DrawStatus] = {}
        self._waiting: dict[str, dict[str, Any]] = {}  # orders that are not answered, the first is in work
        self._child: _Child | None = None

    def order(
        self,
        base: Base,
        settings: DrawSettings,
        folder: Path | None = None,
        held: dict[str, Any] | None = None,
        on_processor: bool = False,
        read_by: Literal["", "diffusers"] = "",
    ) -> str:
        """Order drawings; starts the child if none lives. `held` is how the base is held, as `fit.held` says it, and
        `read_by` whose reader the LoRAs go through.

        Where another task has the device, the order waits its turn, unless it is to be drawn `on_processor`.
        Raises UserError where the stack or the size does not fit the base, or the prompt names an unknown LoRA.
        """
        settings, notes = prepared(self._studio, base, settings)
        each = shots(self._studio, settings)
        place = (folder or self._studio.drawings / f"{datetime.now():%Y-%m-%d}").resolve()
        files.make_folder(place)
        job = DrawJob(
            id=self._new_id(place),
            base=base,
            settings=settings,
            shots=each,
            folder=str(place),
            studio=str(self._studio.home.resolve()),
            cache=str(self._studio.cache.resolve()),
            on_processor=on_processor,
            read_by=read_by,
            **fit.held(self._studio, base) if held is None else held,
        )
        message = {"draw": job.model_dump(mode="json")}
        with self._changed:
            self._orders[job.id] = DrawStatus(of=settings.count, notes=tuple(notes))
            self._waiting[job.id] = message
            if self._child and self._child.lives:
                self._child.send(message)
            else:
                self._begin()
        return job.id

    def status(self, id: str) -> DrawStatus:
        """How an order stands. Raises UserError for one that was never given."""
        with self._changed:
            if id not in self._orders:
                raise UserError("This drawing was ordered before the app was started again.", "Draw it again.")
            return self._orders[id]

    def wait(self, id: str, beat: bool = False) -> Iterator[DrawStatus]:
        """The status whenever it changes, with a `beat` at least every second, until the order has ended."""
        seen: DrawStatus | None = None
        while seen is None or not seen.ended:
            with self._changed:
                if self._orders[id] == seen:
                    self._changed.wait(timeout=1)
                now = self._orders[id]
            if beat or now != seen:
                yield now
            seen = now

    def cancel(self, id: str) -> None:
        """Give an order up; drawings that are finished stay. A child that does not answer is ended by force."""
        with self._changed:
            child, in_work = self._child, next(iter(self._waiting), None)
            if id not in self._waiting or child is None:
                return
            child.send({"cancel": id})
            if id == in_work:
                threading.Thread(target=self._insist, args=(child, id), daemon=True).start()
            else:
                self._take(events.Stopped(id=id))

    def release(self) -> None:
        """End the child, the only sure way to give its memory back; the next order starts a new one."""
        with self._changed:
            child, self._child = self._child, None
            given_up = list(self._waiting)
            for id in given_up:
                what = "Drawing was stopped to make room for a training."
                self._take(events.Failed(what, "Draw again when the training is done.", id))
        if child:
            for id in given_up:
                child.send({"cancel": id})
            child.close()

    close = release

    def _new_id(self, place: Path) -> str:
        """Behind all that lie in the folder, and all that were ordered here."""
        new = new_id(place)
        with self._changed:
            while new in self._orders:
                new = new_id(place)
                time.sleep(0.001)
        return new

    def _begin(self) -> None:
        """Start a child and give it every order that waits."""
        try:
            child = _Child(self._studio.cache / "drawing-log.txt")
        except OSError as error:
            self._fail_all(NO_START, f"Start the app again ({error.strerror}).")
            return
        self._child = child
        for message in self._waiting.values():
            child.send(message)
        threading.Thread(target=self._listen, args=(child,), daemon=True).start()

    def _listen(self, child: _Child) -> None:
        """Take what one child says until it ends; one that was let go has nothing to say any more."""
        assert child.process.stdout
        with child.process.stdout:
            for line in child.process.stdout:
                event = events.from_line(line.decode("utf-8", errors="replace"))
                with self._changed:
                    if event and self._child is child:
                        self._take(event)
        code = child.process.wait()
        with self._changed:
            if self._child is child:
                self._child = None
                in_work = next(iter(self._waiting), None)
                if code and in_work:  # it is lost with the child; those behind it are given to the next one
                    what, remedy = process.cause(self._studio.cache / "drawing-log.txt", child.since)
                    self._take(events.Failed(what, remedy, in_work))
                if self._waiting:
                    self._begin()

    def _insist(self, child: _Child, id: str) -> None:
        """End a child that does not answer a cancel; the order counts as stopped."""
        given_up = time.monotonic() + UNANSWERED
        with self._changed:
            while id in self._waiting and self._child is child:
                if (left := given_up - time.monotonic()) > 0:
                    self._changed.wait(timeout=left)
                    continue
                self._child = None
                child.process.kill()
                self._take(events.Stopped(id=id))
                if self._waiting:
                    self._begin()

    def _take(self, event: events.Event) -> None:
        id = getattr(event, "id", "") or next(iter(self._waiting), "")
        if id not in self._orders:
            return
        self._orders[id] = status = after(self._orders[id], event)
        if status.ended:
            self._waiting.pop(id, None)
            if status.preview:
                status.preview.unlink(missing_ok=True)
                self._orders[id] = replace(status, preview=None)
        self._changed.notify_all()

    def _fail_all(self, what: str, remedy: str) -> None:
        for id in list(self._waiting):
            self._take(events.Failed(what, remedy, id))


def after(status: DrawStatus, event: events.Event) -> DrawStatus:
    """The status of an order once `event` has happened."""
    match event:
        case events.Phase(name):
            return replace(status, state="drawing", phase=name)
        case events.Preview(_, path, step, of):
            return replace(status, state="drawing", phase="", preview=Path(path), step=step, steps=of)
        case events.Drawn(_, path, seed, _, of):
            drawings, seeds = (*status.drawings, Path(path)), (*status.seeds, seed)
            return replace(status, state="drawing", phase="", drawings=drawings, seeds=seeds, done=len(drawings), of=of)
        case events.Note(text):
            return replace(status, notes=(*status.notes, text))
        case events.Done():
            return replace(status, state="done", phase="")
        case events.Stopped():
            return replace(status, state="stopped", phase="")
        case events.Failed(what, remedy):
            return replace(status, state="failed", what=what, remedy=remedy, phase="")
    return status
