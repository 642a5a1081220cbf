"""Each picture at the resolutions it is learnt at, and moved; one that is too small to differ comes as often at one."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image

from lora_gui.facts import Facts
from lora_gui.framing import UNMOVED, Framing, Size, frame
from lora_gui.protocol.events import Note
from lora_gui.protocol.jobs import TrainJob

View = tuple[int, int]  # where it is among all framings, and for how many of them it stands
_FEWEST = 6  # lines of squares, from which on they are no chance
_FAINT = 0.1  # of the sharpest change


def of(
    job: TrainJob, facts: Facts, size: Callable[[Path], Size], together: int, still: Collection[int] = ()
) -> tuple[list[int], list[Framing]]:
    """The numbers of the pictures, and with each a framing: all at the resolution, then the same at further ones,
    then all these moved, but for those that stand `still`.

    Pictures that the base drew of the class come at the resolution alone. A further one that is not smaller, as where
    memory was short and the resolution was lowered, is passed over. Raises UserError as `frame`.
    """
    sizes = [size(Path(picture.path)) for picture in job.pictures]
    seen, framings = list[int](), list[Framing]()
    whole = job.settings.resolution
    resolutions = (whole, *(side for side in job.settings.further_resolutions if side < whole))
    for turn, resolution in product(range(1 + job.settings.moved_views), resolutions):
        for number, picture in enumerate(job.pictures):
            further = turn or resolution < whole
            if (picture.of_class and further) or (number in still and turn):
                continue
            one = frame(sizes[number], resolution, facts, together, picture.crop)
            seen.append(number)
            framings.append(replace(one, moved=_moved(job, facts, number, turn)))
    return seen, framings


def _moved(job: TrainJob, facts: Facts, number: int, turn: int) -> Size:
    """By up to half a cell of the latents, in px: the same whenever a run goes on, and in each of its processes."""
    rng, reach = random.Random(f"{job.settings.seed} {number} {turn}"), int(facts.cell / 2)
    return (rng.randint(-reach, reach), rng.randint(-reach, reach)) if turn else UNMOVED


def several(seen: list[int], framings: list[Framing]) -> dict[int, tuple[View, ...]]:
    """The views of each picture that has more than one framing, equal ones as one."""
    found: dict[int, dict[Framing, list[int]]] = {}
    for at, (number, framing) in enumerate(zip(seen, framings, strict=True)):
        found.setdefault(number, {}).setdefault(framing, []).append(at)
    return {
        number: tuple((same[0], len(same)) for same in equal.values())
        for number, equal in found.items()
        if sum(map(len, equal.values())) > 1
    }


def on_a_grid(picture: Image.Image) -> bool:
    """Whether it consists of squares of two px or more, as pixel art does: its colours change at multiples alone."""
    pixels = np.asarray(picture.convert("RGB")).astype(np.int16)
    return all(_multiples(np.abs(np.diff(pixels, axis=axis)).sum((1 - axis, 2))) for axis in (0, 1))


def _multiples(change: np.ndarray) -> bool:
    """Of how much changes from each line of px to the next, (lines - 1,)."""
    at = np.flatnonzero(change > _FAINT * change.max(initial=0))
    return len(at) >= _FEWEST and int(np.gcd.reduce(np.diff(at))) > 1


def notes(still: Collection[int]) -> Iterator[Note]:
    """What is told of pictures that are not moved."""
    if still:
        many = "1 picture is" if len(still) == 1 else f"{len(still)} pictures are"
        yield Note(f"{many} pixel art, which is learnt on its grid and not moved.")
