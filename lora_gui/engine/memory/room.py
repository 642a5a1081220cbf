"""Whether a drawing has room in memory, and which size of it has."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import torch

from lora_gui.engine.load.device import free as _free
from lora_gui.engine.memory import networks
from lora_gui.engine.memory.phases import RUNTIME, Planner
from lora_gui.errors import SettingError, UserError
from lora_gui.families.base import Family
from lora_gui.protocol.jobs import DrawJob
from lora_gui.settings import DrawSettings

_SMALLER = 7 / 8  # of a side, from one proposal to the next
_SMALLEST = 64  # px
_NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}


def require(job: DrawJob, folder: Path, family: Family, where: torch.device, dtype: torch.dtype) -> None:
    """Raises SettingError where the drawings of an order need more memory than there is, naming a size that fits.

    Sizes up to the base's own are not looked at: those are drawn in its least memory. The base's weights are there
    already; what the networks hold beside them is traced once for each size, in seconds, and then found in the cache.
    """
    settings, (width, height) = job.settings, own_size(job, family)
    is_drawn = not settings.picture or settings.denoising > 0  # else it is enlarged alone, in tiles of the base's size
    if not job.cache or not is_drawn or settings.width * settings.height <= width * height:
        return
    free, precision = _free(where), _NAMES[dtype] if dtype == torch.float32 else job.precision or _NAMES[dtype]
    try:
        base = job.base.model_copy(update={"path": str(folder)})
        planner = Planner(networks.components(base), family, Path(job.cache), where.type == "mps")
    except UserError:  # a base that is not known, so nothing can be said of it
        return
    sizes = list(_sizes(settings, family.facts.size_step))
    fitting = next((size for size in sizes if _needed(planner, size, precision) <= free), sizes[-1])
    upscaled = ", and upscale it, which needs no more" if family.facts.draws_over else ""
    if fitting != (settings.width, settings.height):
        raise SettingError(
            f"A drawing of {settings.width} x {settings.height} needs more memory than is free here.",
            f"Draw it at {fitting[0]} x {fitting[1]}{upscaled}.",
            "width",
            fitting[0],
            {"width": fitting[0], "height": fitting[1]},
        )


def own_size(job: DrawJob, family: Family) -> tuple[int, int]:
    """Width and height that the base of an order is drawn at, in px."""
    usual = DrawSettings(**family.facts.draw_defaults_of(job.base.known))
    return usual.width, usual.height


def _needed(planner: Planner, size: tuple[int, int], precision: str) -> float:
    """Bytes beside the weights and what the driver has taken already."""
    return planner.drawing(_side(size), precision, weights=0).total - RUNTIME


def _sizes(settings: DrawSettings, step: int) -> Iterator[tuple[int, int]]:
    """The size that is asked for, and smaller ones of its shape."""
    width, height = settings.width, settings.height
    while min(width, height) >= _SMALLEST:
        yield max(round(width / step), 1) * step, max(round(height / step), 1) * step
        width, height = int(width * _SMALLER), int(height * _SMALLER)


def _side(size: tuple[int, int]) -> int:
    """Of the square with as many pixels, in steps in which every network can be run."""
    return math.ceil(math.sqrt(size[0] * size[1]) / 64) * 64
