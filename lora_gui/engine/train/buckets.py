"""The size each picture is learnt at, and the order they come in; both follow from settings and seed alone."""

import math
import random
from collections.abc import Iterator, Sequence

from PIL import Image

from lora_gui.errors import UserError

Size = tuple[int, int]  # width, height in px


_ENLARGED = 1.05  # at most, where the next smaller size would throw away more
_LOSS = 0.04  # of a size that is good enough; finer steps are tried where it is more


def bucket(size: Size, resolution: int, size_step: int) -> Size:
    """The size a picture of `size` is learnt at: nearly its own shape, at most resolution x resolution px.

    Sides are multiples of a sixteenth of the resolution, so that many pictures share a size and can stand in one batch;
    of less where a picture would lose much by that. Raises UserError where the picture is too small for the base.
    """
    step = max(size_step, min(64, resolution // 16) // size_step * size_step)
    while True:
        near = _near(size, resolution, step)
        best = min(near, key=lambda one: _loss(size, one, resolution), default=None)
        if best and (step == size_step or _loss(size, best, resolution) < _LOSS):
            return best
        if step == size_step:
            what = f"A picture of {size[0]} x {size[1]} is too small."
            raise UserError(what, f"Use pictures of {size_step} px or more.")
        step = max(size_step, step // 2 // size_step * size_step)


def _near(size: Size, resolution: int, step: int) -> list[Size]:
    """Sizes of about that shape and as many pixels as there are, or as the resolution lets through."""
    scale = min(resolution / math.sqrt(size[0] * size[1]), _ENLARGED)
    widths, heights = ([(int(side * scale) // step + n) * step for n in (-1, 0, 1)] for side in size)
    return [
        (width, height)
        for width in widths
        for height in heights
        if 0 < width <= size[0] * _ENLARGED and 0 < height <= size[1] * _ENLARGED and width * height <= resolution**2
    ]


def _loss(size: Size, to: Size, resolution: int) -> float:
    """The share of a picture that is cut off, and half of that by which it has fewer pixels than it could."""
    scale = max(to[0] / size[0], to[1] / size[1])
    cut = 1 - to[0] * to[1] / (size[0] * size[1] * scale**2)
    return cut + max(0.0, 1 - to[0] * to[1] / min(size[0] * size[1], resolution**2)) / 2


def fit(image: Image.Image, size: Size) -> Image.Image:
    """The picture scaled until it covers `size`, what stands over cut off evenly."""
    scale = max(size[0] / image.width, size[1] / image.height)
    scaled = (max(size[0], round(image.width * scale)), max(size[1], round(image.height * scale)))
    if scaled != image.size:
        image = image.resize(scaled, Image.Resampling.LANCZOS)
    left, top = (scaled[0] - size[0]) // 2, (scaled[1] - size[1]) // 2
    return image.crop((left, top, left + size[0], top + size[1]))


def batches(sizes: list[Size], batch_size: int, seed: int, repeats: Sequence[int] = ()) -> Iterator[list[int]]:
    """Batches of picture numbers without end; pictures of one batch share a size, and each comes equally often.

    Where there are `repeats`, each comes as often as they say in relation to the others. The n-th batch depends on the
    arguments alone, so a run that goes on skips those it has had.
    """
    shares = [count // math.gcd(*repeats) for count in repeats] or [1] * len(sizes)
    groups = [
        [n for n, other in enumerate(sizes) if other == size for _ in range(shares[n])] for size in dict.fromkeys(sizes)
    ]
    streams = [_shuffled(group, random.Random(f"{seed} {number}")) for number, group in enumerate(groups)]
    taken = [0] * len(groups)
    while True:
        due = max(range(len(groups)), key=lambda g: len(groups[g]) / (taken[g] + 1))
        taken[due] += 1
        yield [next(streams[due]) for _ in range(batch_size)]


def _shuffled(group: list[int], rng: random.Random) -> Iterator[int]:
    """The members of a group in a new order each round."""
    while True:
        yield from rng.sample(group, len(group))
