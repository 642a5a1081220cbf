"""The size each picture is learnt at, and the order they come in; both follow from settings and seed alone."""

import math
import random
from collections.abc import Iterator, Sequence

from PIL import Image

from lora_gui.errors import UserError

Size = tuple[int, int]  # width, height in px


def bucket(size: Size, resolution: int, size_step: int) -> Size:
    """The size a picture of `size` is learnt at: its own shape, at most resolution x resolution px, never enlarged.

    Sides are multiples of an eighth of the resolution, so that many pictures share a size and can stand in one batch.
    Raises UserError where the picture is too small for the base.
    """
    ratio = math.sqrt(size[0] / size[1])
    fits = (min(size[0], resolution * ratio), min(size[1], resolution / ratio))
    coarse = max(size_step, resolution // 8 // size_step * size_step)
    width, height = (_floor(side, coarse) or _floor(side, size_step) for side in fits)
    if not width or not height:
        raise UserError(f"A picture of {size[0]} x {size[1]} is too small.", f"Use pictures of {size_step} px or more.")
    return width, height


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


def _floor(side: float, step: int) -> int:
    return int(side + 0.5) // step * step
