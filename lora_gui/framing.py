"""The size each picture is learnt at, and what of it is cropped and enlarged for that: known before it is opened."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

from lora_gui.errors import UserError
from lora_gui.facts import Facts

Size = tuple[int, int]  # width, height in px
Place = tuple[float, float]  # from left and top, 0 to 1, of what is over

MIDDLE: Place = (0.5, 0.5)
UNMOVED: Size = (0, 0)

ENLARGED = 1.05  # at most, but for small pictures that would lose much by it
_STRETCHED = 1.5  # at most, for those
_MUCH = 0.08  # of a loss that this is
_COARSE = 64.0  # px; steps with which pictures share sizes, so that batches fill
_STEPS = 16  # a side has as many at least, or much would be cropped
_LEFT_OUT = 0.35  # what a pixel too few counts against one cropped; measured by tests/bench/buckets.py
_LONGEST = 8.0  # longer side by the shorter, about; far beyond it Stable Diffusion 3.5 has no positions


@dataclass(frozen=True)
class Framing:
    """A picture of `original` px, scaled until it covers its `bucket`, and what stands over cropped.

    Of what is over, `place` says how much is cropped at the left and at the top. `moved` is by how many px the
    view of it is moved to the right and down; beyond its edges it is mirrored.
    """

    original: Size
    bucket: Size
    place: Place = MIDDLE
    moved: Size = UNMOVED

    @property
    def scale(self) -> float:
        """Above 1 it is enlarged."""
        return max(self.bucket[0] / self.original[0], self.bucket[1] / self.original[1])

    @property
    def scaled(self) -> Size:
        """Its size before it is cropped."""
        width, height = (max(to, round(side * self.scale)) for side, to in zip(self.original, self.bucket, strict=True))
        return width, height

    @property
    def corner(self) -> Size:
        """Left and top of what stays, in px of the scaled picture, unless it is moved."""
        left, top = (
            int((side - to) * share) for side, to, share in zip(self.scaled, self.bucket, self.place, strict=True)
        )
        return left, top

    @property
    def mirrored(self) -> Framing:
        """That of the mirrored picture, whose left was the right."""
        (left, top), (right, down) = self.place, self.moved
        return replace(self, place=(1 - left, top), moved=(-right, down))

    @property
    def cropped(self) -> float:
        """The share of the picture that is not seen."""
        return max(0.0, 1 - _area(self.bucket) / (_area(self.original) * self.scale**2))


def frame(
    original: Size, resolution: int, facts: Facts, batch_size: int = 1, place: Place = MIDDLE
) -> Framing:
    """How a picture is framed for bases of a family. Raises UserError where it is too small for them."""
    return Framing(original, bucket(original, resolution, facts.cell, facts.bucket_step, batch_size), place)


@functools.lru_cache(maxsize=1 << 14)
def bucket(original: Size, resolution: int, cell: float, step: float = _COARSE, batch_size: int = 1) -> Size:
    """The size a picture is learnt at: nearly its own shape, at most resolution x resolution px, hardly enlarged.

    Sides are whole numbers of `cell` px, without which the networks do not work: of about `step` px at batch 1, of 64
    in larger batches, of fewer where the picture or the resolution is small. Raises UserError where it is too small.
    """
    side = min(resolution, ENLARGED * math.sqrt(_area(original)))
    coarsest, taken = min(step if batch_size == 1 else _COARSE, side / _STEPS), cell
    while 2 * taken <= coarsest:
        taken *= 2
    loss = functools.partial(_loss, original, resolution)
    near = _near(original, resolution, taken, ENLARGED)
    best = min(near, key=loss, default=None)
    if best is None or (side < resolution and loss(best) > _MUCH):
        best = min(near + _near(original, resolution, cell, _STRETCHED), key=loss, default=None)
    if best is None:
        what = f"A picture of {original[0]} x {original[1]} is too small."
        raise UserError(what, f"Use pictures of {math.ceil(cell)} px or more.")
    return best


def _near(original: Size, resolution: int, step: float, enlarged: float) -> list[Size]:
    """Sizes of about that shape, with as many pixels as there are or as the resolution lets through."""
    sides = [min(side, _LONGEST * other) for side, other in (original, original[::-1])]
    scale = min(resolution / math.sqrt(sides[0] * sides[1]), enlarged)
    least = min(scale, 1)
    widths, heights = (
        [round(n * step) for n in range(int(side * least / step) - 1, int(side * scale / step) + 2)] for side in sides
    )
    return [
        (width, height)
        for width in widths
        for height in heights
        if 0 < width <= original[0] * enlarged and 0 < height <= original[1] * enlarged
        if width * height <= resolution**2
    ]


def _loss(original: Size, resolution: int, to: Size) -> float:
    """The share of a picture that is cropped, a part of that by which it has too few pixels, and half its stretch."""
    framing, there = Framing(original, to), min(_area(original), resolution**2)
    few, stretched = max(0.0, 1 - _area(to) / there), max(0.0, framing.scale / ENLARGED - 1)
    return framing.cropped + _LEFT_OUT * few + stretched / 2


def _area(size: Size) -> int:
    return size[0] * size[1]
