"""The parent side of the resident child that draws: orders, their turns, and what becomes of them if it dies."""

import contextlib
import os
import queue
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.protocol import events
from lora_gui.protocol.jobs import Base, DrawJob
from lora_gui.settings import DrawSettings
from lora_gui.studio.capacity import fit
from lora_gui.studio.paths import Studio, new_id
from lora_gui.studio.tasks import process
from lora_gui.studio.tasks.drawing_status import DrawStatus, after
from lora_gui.studio.tasks.order import prepared, shots

PATIENCE = 5.0  # seconds a child gets to end by itself
UNANSWERED = 10.0  # seconds after which a child that does not answer a cancel is ended by force
ONCE_MORE = "{} In the middle of this drawing it was started again, and the drawing begun anew."


class Waiting(NamedTuple):
    """An order as lists tell it; `of` counts its drawings, which go into `folder`."""

    id: str
    prompt: str
    of: int
    folder: Path


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
        self._begun = ""  # the order that the child was given; it gets one at a time, so that the others change places
        self._died_over = self._given_up = ""  # the order that a child died over, and the one that it is to cancel
        self._ended: list[Waiting] = []  # since there was last nothing to do
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
        if held is None:
            held = fit.held(self._studio, base)
            notes += filter(None, [fit.said(base, held)])
        each = shots(self._studio, settings)
        place = Path(os.path.realpath(folder or self._studio.drawings / f"{datetime.now():%Y-%m-%d}"))
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
            **held,
        )
        with self._changed:
            self._ended = self._ended if self._waiting else []
            self._orders[job.id] = DrawStatus(of=settings.count, notes=tuple(notes))
            self._waiting[job.id] = {"draw": job.model_dump(mode="json")}
            if self._child and self._child.lives:
                self._give()
            else:
                self._begin()
        return job.id

    def waiting(self) -> list[Waiting]:
        """The orders that have not ended, the first in work, in the order of their turns."""
        with self._changed:
            return [self._listed(id) for id in self._waiting]

    def ended(self) -> list[Waiting]:
        """The orders that have ended since there was last nothing to do, the latest last."""
        with self._changed:
            return [*self._ended]

    def _listed(self, id: str) -> Waiting:
        job = self._waiting[id]["draw"]
        return Waiting(id, job["settings"]["prompt"], self._orders[id].of, Path(job["folder"]))

    def move(self, id: str, by: int) -> None:
        """Let an order have its turn that many places later, or earlier, though never before the one in work."""
        with self._changed:
            first, *behind = self._waiting or [""]
            if id not in behind:
                return
            place = max(behind.index(id) + by, 0)
            behind.remove(id)
            behind.insert(place, id)
            self._waiting = {one: self._waiting[one] for one in (first, *behind)}
            self._changed.notify_all()

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

    def await_end(self, id: str, seconds: float) -> None:
        """Return once an order has ended, or after so long."""
        with self._changed:
            self._changed.wait_for(lambda: self._orders[id].ended, timeout=seconds)

    def cancel(self, id: str) -> None:
        """Give an order up; drawings that are finished stay. A child that does not answer is ended by force."""
        with self._changed:
            child, in_work = self._child, next(iter(self._waiting), None)
            if id not in self._waiting or child is None:
                return
            if id != in_work:
                self._take(events.Stopped(id=id))
                return
            self._given_up = id
            child.send({"cancel": id})
            threading.Thread(target=self._insist, args=(child, id), daemon=True).start()

    def give_up(self, id: str) -> None:
        """As `cancel`, and return once the order writes nothing more, so that its folder can be removed."""
        self.cancel(id)
        self.await_end(id, 2 * UNANSWERED)

    def release(self) -> None:
        """End the child, the only sure way to give its memory back; the next order starts a new one."""
        with self._changed:
            child, self._child = self._child, None
            in_work = next(iter(self._waiting), "")
            self._fail_all("Drawing was stopped to make room for a training.", "Draw again when the training is done.")
        if child:
            child.send({"cancel": in_work})
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

    def _give(self) -> None:
        """Give the child the order whose turn it is."""
        first = next(iter(self._waiting), "")
        if self._child and first and first != self._begun:
            self._begun = first
            self._child.send(self._waiting[first])

    def _begin(self) -> None:
        """Start a child for the orders that wait."""
        try:
            child = _Child(self._studio.cache / "drawing-log.txt")
        except UserError as error:
            self._fail_all(error.what, error.remedy)
            return
        self._child, self._begun = child, ""
        self._give()
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
                if code and self._waiting:
                    self._lost(*process.cause(self._studio.cache / "drawing-log.txt", child.since))
                if self._waiting:
                    self._begin()

    def _lost(self, what: str, remedy: str) -> None:
        """A child died over the order in work: the next one begins it anew, once; those behind it are drawn after."""
        id = next(iter(self._waiting))
        if id in (self._died_over, self._given_up):
            self._take(events.Stopped(id=id) if id == self._given_up else events.Failed(what, remedy, id))
            return
        self._died_over, before = id, self._orders[id]
        self._orders[id] = DrawStatus(of=before.of, notes=(*before.notes, ONCE_MORE.format(what)))
        self._changed.notify_all()

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
        if status.ended and id in self._waiting:
            self._ended.append(self._listed(id))
            del self._waiting[id]
            if status.preview:
                with contextlib.suppress(UserError):  # one that a browser is just being sent stays
                    files.remove(status.preview)
                self._orders[id] = replace(status, preview=None)
            self._give()
        self._changed.notify_all()

    def _fail_all(self, what: str, remedy: str) -> None:
        for id in list(self._waiting):
            self._take(events.Failed(what, remedy, id))
