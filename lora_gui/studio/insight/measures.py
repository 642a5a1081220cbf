"""What can be told of pictures by numbers alone: likeness, change, colours, and how they look; numpy, no model.

Nothing here has a threshold: a number means something only beside that of the base or of the training pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lora_gui.studio.things.drawings import pixels

SIDE = 128  # px, both sides at which pictures are compared
FINE, SMALL, EDGE = 64, 16, 6  # px in which edges and shapes are told; px of the border that shows the background
_GREY = np.array([0.299, 0.587, 0.114], np.float32)
LOOK = ("saturation", "contrast", "detail", "lightness")
Pixels = np.ndarray[Any, np.dtype[Any]]


class Picture:
    """One picture, (SIDE, SIDE, 3) float32 of 0 to 255; all that is measured of it is measured once."""

    def __init__(self, pixels: Pixels, path: Path | None = None) -> None:
        self.pixels, self.path = pixels, path

    @classmethod
    def read(cls, path: Path) -> Picture:
        """A picture of our own making. Raises UserError where it is damaged, or gone."""
        return cls(np.asarray(pixels(path).resize((SIDE, SIDE), Image.Resampling.BOX), np.float32), path)

    @cached_property
    def grey(self) -> Pixels:
        grey: Pixels = self.pixels @ _GREY
        return grey  # (SIDE, SIDE)

    @cached_property
    def edges(self) -> Pixels:
        """Where grey changes and how, of length 1; (2, FINE - 1, FINE - 1)."""
        return _edges(self.grey)

    @cached_property
    def mirrored(self) -> Pixels:
        return _edges(self.grey[:, ::-1])

    @cached_property
    def small(self) -> Pixels:
        """Of grey, without its mean and spread; (SMALL, SMALL)."""
        cells = _cells(self.grey, SMALL, SMALL)
        told: Pixels = (cells - cells.mean()) / max(float(cells.std()), 4.0)
        return told

    @cached_property
    def background(self) -> Pixels:
        """The colour of most of its border; (3,)."""
        border = np.ones(self.grey.shape, bool)
        border[EDGE:-EDGE, EDGE:-EDGE] = False
        return np.median(self.pixels[border], axis=0)

    @cached_property
    def look(self) -> Pixels:
        """In the order of LOOK, each of 255: mean saturation, spread of grey, mean Laplacian, mean grey."""
        grey = self.grey
        saturation = self.pixels.max(2) - self.pixels.min(2)
        around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
        return np.array([saturation.mean(), grey.std(), np.abs(grey[1:-1, 1:-1] - around / 4).mean(), grey.mean()])


def traced(one: Picture, other: Picture) -> float:
    """Correlation of their edges, the other one mirrored too: 1 is the same line by line, 0 has none in common.

    A dHash, which is coarser, tells copies of small plain pictures no better from other drawings of the same thing.
    """
    return float(max((one.edges * other.edges).sum(), (one.edges * other.mirrored).sum()))


def unlike(one: Picture, other: Picture) -> float:
    """1 - correlation of the small grey copies, the other one mirrored too: 0 is the same, 1 has nothing in common."""
    straight, mirrored = (one.small * other.small).mean(), (one.small * other.small[:, ::-1]).mean()
    return float(1 - max(straight, mirrored))


def change(one: Picture, other: Picture) -> float:
    """Mean difference of values, of 255, coarse enough that texture that moved a little does not count."""
    cells = SIDE // 4
    return float(np.abs(_cells(one.pixels, cells, cells) - _cells(other.pixels, cells, cells)).mean())


def spread(pictures: Sequence[Picture]) -> float:
    """Mean change between all pairs: how much seeds of one prompt differ."""
    return float(np.mean([change(one, other) for one, other in combinations(pictures, 2)]))


def _edges(grey: Pixels) -> Pixels:
    cells = _cells(grey, FINE, FINE)
    both: Pixels = np.stack([np.diff(cells, axis=1)[:-1], np.diff(cells, axis=0)[:, :-1]])
    return both / max(float(np.linalg.norm(both)), 1e-6)


def _cells(values: Pixels, down: int, across: int) -> Pixels:
    """Means of so many cells down and across, of nearly equal size."""
    rows = np.linspace(0, len(values), down + 1).astype(int)[:-1]
    columns = np.linspace(0, values.shape[1], across + 1).astype(int)[:-1]
    sums = np.add.reduceat(np.add.reduceat(values, rows, 0), columns, 1)
    ones = np.ones(values.shape[:2], np.float32)
    counts = np.add.reduceat(np.add.reduceat(ones, rows, 0), columns, 1)
    return sums / (counts if values.ndim == 2 else counts[..., None])
