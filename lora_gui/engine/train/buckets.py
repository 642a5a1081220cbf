"""Pictures brought to the size they are learnt at, and the order they come in, from settings and seed alone."""

import math
import random
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from lora_gui.framing import UNMOVED, Framing, Size
from lora_gui.framing import bucket as bucket  # the sizes themselves


def fit(
    image: Image.Image, framing: Framing, by: Image.Resampling = Image.Resampling.LANCZOS
) -> Image.Image:
    """The picture, or what lies over it, as it is framed."""
    if framing.scaled != image.size:
        image = image.resize(framing.scaled, by)
    (left, top), (width, height) = framing.corner, framing.bucket
    if framing.moved != UNMOVED:
        pixels, edge = np.asarray(image), max(map(abs, framing.moved))
        image = Image.fromarray(np.pad(pixels, [(edge, edge)] * 2 + [(0, 0)] * (pixels.ndim - 2), mode="reflect"))
        left, top = left + edge + framing.moved[0], top + edge + framing.moved[1]
    return image.crop((left, top, left + width, top + height))


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
