"""The sheets of a studio: one in work at a time, followed and stopped by anybody, and those drawn before."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lora_gui import drive, files
from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio, new_id
from lora_gui.studio.stacks import compare, grid
from lora_gui.studio.stacks.axes import Axis
from lora_gui.studio.stacks.grid import Grid
from lora_gui.studio.tasks.drawing import Drawer

BEFORE = 12  # sheets that are offered again
LIMIT = 1_000_000  # bytes of a record
GONE = UserError("This sheet is not there any more.", "Choose another one.")


@dataclass(frozen=True)
class Sheet:
    """A sheet as it is shown, drawn now or before; cells go row by row."""

    name: str  # of its folder, within the folder of drawings
    kind: str
    prompt: str
    rows: tuple[str, ...]  # labels; one empty one where nothing changes
    columns: tuple[str, ...]
    cells: tuple[tuple[Path | None, str], ...]  # the drawing, or why there is none; neither where it is to come
    said: tuple[str, ...]
    whole: Path  # the labelled picture
    moving: Path | None
    goes_on: bool = False
    step: tuple[int, int] = (0, 0)

    @property
    def drawn(self) -> int:
        return sum(drawing is not None for drawing, _ in self.cells)


class Sheets:
    """How the one in work stands may be asked from any thread."""

    def __init__(self, drawer: Drawer) -> None:
        self._drawer = drawer
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._grid: Grid | None = None
        self._thread: threading.Thread | None = None

    @property
    def goes_on(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def begin(self, planned: Grid, **order: Any) -> None:
        """Draw a sheet, also where nobody looks. Raises UserError where another one is being drawn."""
        with self._lock:
            if self.goes_on:
                raise UserError("Another sheet is being drawn.", "Wait until it is done, or stop it.")
            self._grid, self._stop = replace(planned, said=planned.notes), threading.Event()
            self._thread = threading.Thread(target=self._draw, args=(self._grid, self._stop, order), daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Draw nothing more; what is drawn stays."""
        self._stop.set()

    def join(self) -> None:
        """Wait until nothing is being drawn."""
        if thread := self._thread:
            thread.join()

    @property
    def latest(self) -> Sheet | None:
        """The one in work, or that was in work last."""
        now = self._grid
        if now is None:
            return None
        sheet = _shown(self._name(now.folder), now.to_json(), now.folder)
        return replace(sheet, goes_on=self.goes_on, step=now.step)

    def _name(self, folder: Path) -> str:
        return f"{folder.parent.name}/{folder.name}"

    def _draw(self, planned: Grid, stop: threading.Event, order: dict[str, Any]) -> None:
        try:
            for now in grid.draw(self._drawer, planned, stop.is_set, **order):
                self._grid = now
            self._grid = ended(self._grid or planned)
        except UserError as error:  # the disk is full, mostly
            self._grid = replace(self._grid or planned, stopped=True, said=(f"{error.what} {error.remedy}",))
        finally:
            self._thread = None


def ended(drawn: Grid) -> Grid:
    """A sheet with what its drawings show, and with one that moves where a strength travels."""
    if drawn.kind == "travel" and len(drawn.drawn) > 1:
        grid.animate(drawn)
    if drawn.kind == "compare" and len(drawn.drawn) == len(drawn.cells):
        drawn = replace(drawn, said=(*drawn.said, *(one.sentence for one in compare.kept(drawn))))
        grid.record(drawn)
    return drawn


def before(studio: Studio) -> list[Sheet]:
    """The sheets that were drawn last, the newest first; one that cannot be read or has no drawing is passed over."""
    found: list[Sheet] = []
    for day in sorted(studio.drawings.glob("????-??-??"), reverse=True):
        for folder in sorted(day.glob("*-grid"), reverse=True):
            try:
                sheet = find(studio, f"{day.name}/{folder.name}")
            except UserError:
                continue
            found += [sheet] if sheet.drawn else []
            if len(found) == BEFORE:
                return found
    return found


def find(studio: Studio, name: str) -> Sheet:
    """The sheet in a folder, as it was left. Raises UserError where it is not there or cannot be read."""
    folder = studio.drawings / name
    if len(Path(name).parts) != 2 or not folder.resolve().is_relative_to(studio.drawings.resolve()):
        raise GONE
    record = folder / grid.RECORD
    try:
        told = files.read_json(record, LIMIT)
        if not isinstance(told, dict):
            raise GONE
        return _shown(name, told, folder)
    except (OSError, KeyError, TypeError, ValueError):
        raise GONE from None


def delete(studio: Studio, name: str) -> str:
    """Put a sheet and its drawings into the bin, where they stay until that is emptied; what `restore` takes.

    Raises UserError where it is gone or the disk refuses.
    """
    source, binned = find(studio, name).whole.parent, studio.bin / new_id(studio.bin)
    files.move(source, binned / name.replace("/", " ", 1))
    return binned.name


def restore(studio: Studio, binned: str) -> str:
    """Put a sheet back where it was; its name. Raises UserError where it is not in the bin any more."""
    folder = studio.bin / Path(binned).name
    source = next(folder.glob("????-??-?? *-grid"), None) if folder.is_dir() else None
    if source is None:
        raise UserError("This sheet is not in the bin any more.", "Draw it again with the same settings.")
    name = source.name.replace(" ", "/", 1)
    files.move(source, studio.drawings / name)
    drive.drop_empty(folder)
    return name


def _shown(name: str, told: dict[str, Any], folder: Path) -> Sheet:
    """By a grid's JSON, whose drawings lie in `folder`. Raises KeyError or TypeError where it is none."""
    rows, columns = (_labels(told[side]) for side in ("rows", "columns"))
    cells = []
    for cell in told["cells"]:
        drawing = folder / Path(str(cell["drawing"])).name if cell["drawing"] else None
        there = drawing is not None and drawing.is_file()
        cells.append((drawing if there else None, str(cell["problem"])))
    if len(cells) != len(rows) * len(columns):
        raise TypeError("not as many cells as there are places")
    moving = folder / grid.MOVING
    said = tuple(map(str, told.get("said", ())))
    return Sheet(
        name, str(told.get("kind", "grid")), str(told.get("prompt", "")), rows, columns, tuple(cells), said,
        folder / grid.SHEET, moving if moving.is_file() else None,
    )  # fmt: skip


def _labels(side: dict[str, Any]) -> tuple[str, ...]:
    return grid.labels(Axis(str(side["kind"]), tuple(map(str, side["values"]))))
