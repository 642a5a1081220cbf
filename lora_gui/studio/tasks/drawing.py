"""The drawings and how each was made, and the parent side of the resident child that draws."""

import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from PIL import Image

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.protocol import events
from lora_gui.protocol.jobs import Base, DrawJob
from lora_gui.settings import DrawSettings
from lora_gui.studio.capacity import fit
from lora_gui.studio.paths import Studio, new_id
from lora_gui.studio.tasks import process
from lora_gui.studio.things import loras

PATIENCE = 5.0  # seconds a child gets to end by itself
RECORD_LIMIT = 20_000  # characters of a drawing's record that are shown


@dataclass(frozen=True)
class DrawStatus:
    """How an order stands. `done` and `of` count drawings; within one, `step` and `steps` count its steps."""

    state: str = "queued"  # queued, drawing, done, stopped, failed
    preview: Path | None = None
    drawings: tuple[Path, ...] = ()
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


class Drawer:
    """Owns the child that keeps the base and the stack warm; one for the whole app, for any number of threads."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._changed = threading.Condition()
        self._orders: dict[str, DrawStatus] = {}
        self._waiting: list[str] = []  # orders the living child has not answered, the first is in work
        self._child: subprocess.Popen[bytes] | None = None

    def order(
        self, base: Base, settings: DrawSettings, folder: Path | None = None, held: dict[str, Any] | None = None
    ) -> str:
        """Order drawings; starts the child if none lives. `held` is how the base is held, as `fit.held` says it.

        Raises UserError where the stack does not fit the base.
        """
        check_stack(base, settings)
        job = DrawJob(
            id=new_id(),
            base=base,
            settings=settings,
            folder=str((folder or self._today()).resolve()),
            cache=str(self._studio.cache.resolve()),
            **fit.held(self._studio, base) if held is None else held,
        )
        files.make_folder(Path(job.folder))
        line = process.to_line({"draw": job.model_dump(mode="json")})
        with self._changed:
            if not (self._alive() and self._send(line)):
                self._fail_waiting(*process.cause(self._log))
                self._start()
                if not self._send(line):
                    raise UserError("The drawing part of the app does not start.", process.cause(self._log)[1])
            self._orders[job.id] = DrawStatus(of=settings.count)
            self._waiting.append(job.id)
        return job.id

    def status(self, id: str) -> DrawStatus:
        """How an order stands. Raises UserError for one that was never given."""
        with self._changed:
            if id not in self._orders:
                raise UserError("This drawing was ordered before the app was started again.", "Draw it again.")
            return self._orders[id]

    def wait(self, id: str) -> Iterator[DrawStatus]:
        """The status whenever it changes, until the order has ended."""
        seen: DrawStatus | None = None
        while seen is None or not seen.ended:
            with self._changed:
                if self._orders[id] == seen:
                    self._changed.wait(timeout=1)
                now = self._orders[id]
            if now != seen:
                yield now
            seen = now

    def cancel(self, id: str) -> None:
        """Give an order up; drawings that are finished stay."""
        with self._changed:
            if id in self._waiting and self._alive():
                self._send(process.to_line({"cancel": id}))

    def release(self) -> None:
        """End the child, the only sure way to give its memory back; the next order starts a new one."""
        with self._changed:
            child, self._child = self._child, None
            given_up = list(self._waiting)
            self._fail_waiting(
                "Drawing was stopped to make room for a training.", "Draw again when the training is done."
            )
        if child is None:
            return
        try:
            assert child.stdin
            child.stdin.writelines(process.to_line({"cancel": id}) for id in given_up)
            child.stdin.close()
        except OSError:
            pass  # it has died, which is what was wanted
        try:
            child.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    close = release

    @property
    def _log(self) -> Path:
        return self._studio.cache / "drawing-log.txt"

    def _today(self) -> Path:
        return self._studio.drawings / f"{datetime.now():%Y-%m-%d}"

    def _alive(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def _start(self) -> None:
        self._log.unlink(missing_ok=True)
        with files.open_stream(self._log) as log:
            self._child = process.start("draw", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        threading.Thread(target=self._listen, args=(self._child,), daemon=True).start()

    def _send(self, line: bytes) -> bool:
        """Whether the child took the line; one that has died did not."""
        assert self._child and self._child.stdin
        try:
            self._child.stdin.write(line)
            self._child.stdin.flush()
        except (OSError, ValueError):
            return False
        return True

    def _listen(self, child: subprocess.Popen[bytes]) -> None:
        """Take what one child says until it ends; one that was let go has nothing to say any more."""
        assert child.stdout
        with child.stdout:
            for line in child.stdout:
                event = events.from_line(line.decode("utf-8", errors="replace"))
                with self._changed:
                    if event and self._child is child:
                        self._take(event)
                        self._changed.notify_all()
        child.wait()
        with self._changed:
            if self._child is child:
                self._child = None
                self._fail_waiting(*process.cause(self._log))

    def _take(self, event: events.Event) -> None:
        id = getattr(event, "id", "") or (self._waiting[0] if self._waiting else "")
        if id not in self._orders:
            return
        self._orders[id] = status = after(self._orders[id], event)
        if status.ended and id in self._waiting:
            self._waiting.remove(id)
            if status.preview:
                status.preview.unlink(missing_ok=True)
                self._orders[id] = replace(status, preview=None)

    def _fail_waiting(self, what: str, remedy: str) -> None:
        for id in self._waiting:
            self._orders[id] = after(self._orders[id], events.Failed(what, remedy))
        self._waiting.clear()
        self._changed.notify_all()


def after(status: DrawStatus, event: events.Event) -> DrawStatus:
    """The status of an order once `event` has happened."""
    match event:
        case events.Phase(name):
            return replace(status, state="drawing", phase=name)
        case events.Preview(_, path, step, of):
            return replace(status, state="drawing", phase="", preview=Path(path), step=step, steps=of)
        case events.Drawn(_, path, _, _, of):
            drawings = (*status.drawings, Path(path))
            return replace(status, state="drawing", phase="", drawings=drawings, done=len(drawings), of=of)
        case events.Note(text):
            return replace(status, notes=(*status.notes, text))
        case events.Done():
            return replace(status, state="done", phase="")
        case events.Stopped():
            return replace(status, state="stopped", phase="")
        case events.Failed(what, remedy):
            return replace(status, state="failed", what=what, remedy=remedy, phase="")
    return status


def check_stack(base: Base, settings: DrawSettings) -> None:
    """Raises UserError where a LoRA of the stack is damaged, gone or of another family than the base."""
    for entry in settings.stack:
        lora = loras.describe(Path(entry.lora))
        if lora.family != base.family:
            raise UserError(
                f"The LoRA {lora.name} is for another family of bases than {base.title}.",
                "Switch it off, or choose the base it was made for.",
            )


def recent(studio: Studio, most: int = 24) -> list[Path]:
    """The newest drawings, the newest first."""
    found: list[Path] = []
    for day in sorted(studio.drawings.glob("????-??-??"), reverse=True):
        found += sorted(
            (p for p in day.glob("*.png") if not p.name.startswith(".") and not p.stem.endswith("-preview")),
            reverse=True,
        )
        if len(found) >= most:
            break
    return found[:most]


def record(drawing: Path) -> str:
    """How a drawing was made, as it stands in the picture itself; empty where it says nothing."""
    try:
        with Image.open(drawing, formats=("PNG",)) as image:
            return str(image.info.get("parameters", ""))[:RECORD_LIMIT]
    except (OSError, ValueError, SyntaxError):
        return ""
