"""base | A | B | A+B from one seed, and how much of what each does alone is still there together; or base | A.

With d = drawing - base, d(A+B) is best described as a d(A) + b d(B) by least squares; a and b are what is kept, and so
on where there are more. They are told of the pixels and of means of 8 x 8 of them, which is as coarse as most latents
are, so that texture that moved a little does not count as lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lora_gui.errors import UserError
from lora_gui.protocol.jobs import Base
from lora_gui.settings import DrawSettings
from lora_gui.studio.paths import Studio
from lora_gui.studio.stacks import grid
from lora_gui.studio.stacks.axes import Axis
from lora_gui.studio.stacks.grid import Cell, Grid
from lora_gui.studio.things.drawings import pixels

COARSE = 8  # px
# share from which on, what it says
WORDS = (
    (1.25, "{name} shows more than it does alone"),
    (0.75, "{name} is there nearly as it is alone"),
    (0.4, "About half of {name} is there"),
    (0.15, "Little of {name} is left"),
    (-np.inf, "{name} is lost"),
)
SMALL = 2.0  # mean change of a value, of 255, below which a LoRA alone makes no difference worth comparing


@dataclass(frozen=True)
class Kept:
    """Of one LoRA: the share of its change that is left, by pixels and coarsely, and a sentence."""

    name: str
    pixels: float
    coarse: float
    changed: float  # mean difference to the base where it is alone, of 255
    sentence: str


def plan(studio: Studio, base: Base, settings: DrawSettings) -> Grid:
    """The base, each LoRA of the stack alone, and all of them where there are several. Raises UserError for none."""
    whole = grid.plan(studio, base, settings)
    drawn = whole.cells[0].settings
    if not drawn.stack:
        raise UserError("There is no LoRA to be compared with the base.", "Put one into the stack.")
    names = [Path(entry.lora).stem for entry in drawn.stack]
    stacks = [(), *((entry,) for entry in drawn.stack)]
    if len(names) > 1:
        names, stacks = [*names, " + ".join(names)], [*stacks, drawn.stack]
    cells = tuple(Cell(0, n, drawn.model_copy(update={"stack": stack})) for n, stack in enumerate(stacks))
    return Grid(base, grid.ONE, Axis("stack", ("base", *names)), whole.folder, cells, whole.notes, "compare")


def kept(drawn: Grid) -> tuple[Kept, ...]:
    """How much of each LoRA is left in all together; nothing to tell of one. Raises UserError unless all are drawn."""
    drawings = [cell.drawing for cell in drawn.cells]
    if None in drawings:
        raise UserError("Not all of the drawings are there, so they cannot be compared.", "Draw them again.")
    if len(drawings) < 4:
        return ()
    base, *others = (np.asarray(pixels(path), np.float64) for path in drawings if path)
    changes = [other - base for other in others]
    fine, coarse = _shares(changes), _shares([*map(_coarse, changes)])
    changed = [float(np.abs(change).mean()) for change in changes]
    return tuple(_kept(name, fine[n], coarse[n], changed[n]) for n, name in enumerate(drawn.columns.values[1:-1]))


def to_json(found: tuple[Kept, ...]) -> list[dict[str, Any]]:
    return [
        {"name": one.name, "pixels": one.pixels, "coarse": one.coarse, "changed": one.changed, "said": one.sentence}
        for one in found
    ]


def _kept(name: str, fine: float, coarse: float, changed: float) -> Kept:
    if changed < SMALL:
        words = f"{name} alone changes almost nothing here, so there is nothing to be kept"
    else:
        words = next(words for least, words in WORDS if coarse >= least).format(name=name)
    return Kept(name, round(fine, 3), round(coarse, 3), round(changed, 2), f"{words}.")


def _coarse(change: Any) -> Any:
    """Means of squares of pixels; what is left over at the edges is left out."""
    height, width = (side // COARSE * COARSE for side in change.shape[:2])
    return change[:height, :width].reshape(height // COARSE, COARSE, width // COARSE, COARSE, 3).mean((1, 3))


def _shares(changes: list[Any]) -> list[float]:
    """a, b ... of all = a one + b two + ... by least squares, `all` the last; 0 for one that changes nothing."""
    *alone, together = (change.ravel() for change in changes)
    found, *_ = np.linalg.lstsq(np.stack(alone, 1), together, rcond=1e-9)
    return [float(share) for share in found]
