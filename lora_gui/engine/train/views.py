"""Each picture at the resolutions it is learnt at; where it is too small to differ at two, it comes as often at one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lora_gui.facts import Facts
from lora_gui.framing import Framing, Size, frame
from lora_gui.protocol.jobs import TrainJob

View = tuple[int, int]  # where it is among all framings, and for how many of the resolutions it stands


def of(
    job: TrainJob, facts: Facts, size: Callable[[Path], Size], together: int
) -> tuple[list[int], list[Framing]]:
    """The numbers of the pictures, and with each a framing: all at the resolution, then the same at further ones.

    Pictures that the base drew of the class come at the resolution alone. A further one that is not smaller, as where
    memory was short and the resolution was lowered, is passed over. Raises UserError as `frame`.
    """
    sizes = [size(Path(picture.path)) for picture in job.pictures]
    seen, framings = list[int](), list[Framing]()
    whole = job.settings.resolution
    for resolution in (whole, *(side for side in job.settings.further_resolutions if side < whole)):
        for number, picture in enumerate(job.pictures):
            if resolution == whole or not picture.of_class:
                seen.append(number)
                framings.append(frame(sizes[number], resolution, facts, together, picture.crop))
    return seen, framings


def several(seen: list[int], framings: list[Framing]) -> dict[int, tuple[View, ...]]:
    """The views of each picture that has more than one framing, those of one size as one."""
    found: dict[int, dict[Size, list[int]]] = {}
    for at, (number, framing) in enumerate(zip(seen, framings, strict=True)):
        found.setdefault(number, {}).setdefault(framing.bucket, []).append(at)
    return {
        number: tuple((same[0], len(same)) for same in by_size.values())
        for number, by_size in found.items()
        if sum(map(len, by_size.values())) > 1
    }
