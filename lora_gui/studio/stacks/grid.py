"""A grid of drawings: two axes, one order for each cell, one sheet that fills; stopped, it keeps what there is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.protocol.jobs import Base
from lora_gui.settings import DrawSettings
from lora_gui.studio.paths import Studio, new_id
from lora_gui.studio.stacks import sheet
from lora_gui.studio.stacks.axes import Axis
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.studio.tasks.order import prepared

MOST = 400  # cells
PATIENCE = 20  # times as long as the sheet took to be written, until it is again
TRIED = 3  # cells that fail alike, after which the others are not tried
SHEET, RECORD, MOVING = "sheet.png", "grid.json", "travel.webp"  # in the folder of a grid
ONE = Axis("", ("",))  # of a side along which nothing changes


@dataclass(frozen=True)
class Cell:
    """One drawing of a grid; `drawing` once it is there, `problem` where it could not be drawn."""

    row: int
    column: int
    settings: DrawSettings
    drawing: Path | None = None
    problem: str = ""


@dataclass(frozen=True)
class Grid:
    """A grid as it stands, whatever of it is drawn."""

    base: Base
    rows: Axis
    columns: Axis
    folder: Path
    cells: tuple[Cell, ...]
    notes: tuple[str, ...] = ()
    kind: str = "grid"  # or travel, compare
    said: tuple[str, ...] = ()  # what its drawings show, once they are there
    stopped: bool = False
    step: tuple[int, int] = field(default=(0, 0))  # of the cell in work, and of how many

    @property
    def sheet(self) -> Path:
        return self.folder / SHEET

    @property
    def drawn(self) -> tuple[Cell, ...]:
        return tuple(cell for cell in self.cells if cell.drawing)

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "prompt": self.cells[0].settings.prompt,
            "sheet": str(self.sheet),
            "rows": {"kind": self.rows.kind, "values": self.rows.values},
            "columns": {"kind": self.columns.kind, "values": self.columns.values},
            "of": len(self.cells),
            "drawn": len(self.drawn),
            "stopped": self.stopped,
            "said": list(self.said),
            "cells": [
                {
                    "row": self.rows.values[cell.row],
                    "column": self.columns.values[cell.column],
                    "drawing": str(cell.drawing or ""),
                    "problem": cell.problem,
                }
                for cell in self.cells
            ],
        }


def count(rows: Axis, columns: Axis) -> int:
    """How many drawings a grid has. Raises UserError where its sides do not go together, or it has too many."""
    if rows.kind and rows.kind == columns.kind:
        raise UserError(f"Rows and columns both change {rows.kind}.", "Choose two that differ.")
    return _few(len(rows.values) * len(columns.values))


def _few(drawings: int) -> int:
    """So many. Raises UserError where they are too many."""
    if drawings > MOST:
        raise UserError(f"This grid has {drawings} drawings.", f"Use at most {MOST}.")
    return drawings


def plan(studio: Studio, base: Base, settings: DrawSettings, rows: Axis = ONE, columns: Axis = ONE) -> Grid:
    """A grid, every cell of it checked before the first is drawn. Raises UserError where one cannot be."""
    count(rows, columns)
    settings, notes = prepared(studio, base, settings.model_copy(update={"count": 1}))
    cells = []
    for row, in_row in enumerate(rows.values):
        for column, in_column in enumerate(columns.values):
            own = settings
            sides = ((rows, in_row), (columns, in_column))
            for axis, value in sorted(sides, key=lambda side: side[0].kind == "lora"):  # last: it may leave none
                own = axis.applied(own, value, studio) if axis.kind else own
            cells.append(Cell(row, column, prepared(studio, base, own)[0]))
    day = studio.drawings / f"{datetime.now():%Y-%m-%d}"
    return Grid(base, rows, columns, day / f"{new_id(day)}-grid", tuple(cells), tuple(notes))


def draw(drawer: Drawer, grid: Grid, is_stopped: Callable[[], bool], **order: Any) -> Iterator[Grid]:
    """Draw a grid cell by cell; the grid whenever it changes. `order` goes to `Drawer.order`.

    A cell that cannot be drawn is passed over and says why; once `is_stopped`, nothing more is drawn and what there is
    stays.
    """
    files.make_folder(grid.folder)
    first = grid.cells[0].settings
    page = sheet.Sheet(labels(grid.columns), labels(grid.rows), (first.width, first.height))
    _save(page, grid)
    yield grid
    due = 0.0
    for number, cell in enumerate(grid.cells):
        if is_stopped() or _hopeless(grid.cells[:number]):
            break
        for seen in _drawn(drawer, grid, cell, is_stopped, order):
            if isinstance(seen, Cell):
                cells = (*grid.cells[:number], seen, *grid.cells[number + 1 :])
                grid = replace(grid, cells=cells, step=(0, 0))
                if seen.drawing:
                    page.put(seen.row, seen.column, seen.drawing)
                record(grid)
                if time.monotonic() >= due:
                    began = time.monotonic()
                    _save(page, grid)
                    due = time.monotonic() + PATIENCE * (time.monotonic() - began)
            else:
                grid = replace(grid, step=seen)
            yield grid
    ended = all(cell.drawing or cell.problem for cell in grid.cells)
    grid = replace(grid, stopped=not ended, step=(0, 0))
    _save(page, grid)
    yield grid


def _drawn(
    drawer: Drawer, grid: Grid, cell: Cell, is_stopped: Callable[[], bool], order: dict[str, Any]
) -> Iterator[Cell | tuple[int, int]]:
    """Draw one cell: its steps, then the cell with its drawing, or with why there is none."""
    try:
        id = drawer.order(grid.base, cell.settings, grid.folder, **order)
    except UserError as error:
        yield replace(cell, problem=f"{error.what} {error.remedy}")
        return
    try:
        for status in drawer.wait(id):
            if is_stopped() and not status.ended:
                drawer.cancel(id)
            if status.drawings and status.ended:
                yield replace(cell, drawing=status.drawings[0])
                return
            if status.state == "failed":
                yield replace(cell, problem=f"{status.what} {status.remedy}")
                return
            yield (status.step, status.steps)
    finally:  # whoever closes this may remove the folder next
        drawer.give_up(id)


def labels(axis: Axis) -> tuple[str, ...]:
    """What stands at each row or column of a sheet."""
    return tuple(map(axis.label, axis.values))


def _hopeless(tried: tuple[Cell, ...]) -> bool:
    """Whether some cells in a row could not be drawn, all for the same reason."""
    last = {cell.problem for cell in tried[-TRIED:]}
    return len(tried) >= TRIED and len(last) == 1 and "" not in last


def _save(page: sheet.Sheet, grid: Grid) -> None:
    settings = grid.cells[0].settings
    axes = [f"{side}: {axis.kind} {', '.join(axis.values)}" for side, axis in _sides(grid) if axis.kind]
    page.save(grid.sheet, f"{settings.prompt}\nA grid by {'; '.join(axes)}; {grid.base.title}.")
    record(grid)


def record(grid: Grid) -> None:
    """Write beside the drawings which is which, so that whatever is drawn is found again."""
    told = grid.to_json()
    for cell in told["cells"]:
        cell["drawing"] = Path(cell["drawing"]).name  # so that the folder can be moved
    files.write_json(grid.folder / RECORD, told | {"sheet": SHEET})


def _sides(grid: Grid) -> tuple[tuple[str, Axis], ...]:
    return (("rows", grid.rows), ("columns", grid.columns))


def animate(grid: Grid) -> Path:
    """The drawings of a grid one after the other, as one WebP that moves. Raises UserError where there are not two."""
    drawings = [cell.drawing for cell in grid.drawn if cell.drawing]
    if len(drawings) < 2:
        raise UserError("There are not enough drawings to go from one to the next.", "Let at least two be drawn.")
    sheet.animate(drawings, grid.folder / MOVING)
    return grid.folder / MOVING


def travel(count: int = 10, first: float = 0.0, last: float = 1.0) -> Axis:
    """The axis of a strength that travels. Raises UserError for less than two stations, or too many."""
    if count < 2:
        raise UserError("A strength travels over at least two drawings.", "Use 10, for example.")
    steps = [first + (last - first) * n / (count - 1) for n in range(_few(count))]
    return Axis("strength", tuple(dict.fromkeys(f"{value:.3g}" for value in steps)))
