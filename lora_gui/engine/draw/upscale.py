"""Upscale a drawing: enlarge its pixels, then draw over them a little, tile by tile, with the same prompt.

As the "SD upscale" of A1111 and the tiled second pass of others do. Tiles are as large as the drawing was, though no
larger than the base draws, so that they need no more memory; neighbours overlap and are blended there.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable

import numpy as np
import torch
from PIL import Image

from lora_gui.engine.draw.picture import Beginning
from lora_gui.engine.draw.pipeline import Pipeline
from lora_gui.engine.draw.sampling import Progress
from lora_gui.families.base import Tensors
from lora_gui.protocol.events import Event, Phase
from lora_gui.settings import SEEDS, DrawSettings

Size = tuple[int, int]
_SHARED = 8  # neighbours share this part of a tile's side, at least


def enlarged(
    pipeline: Pipeline, image: Image.Image, shot: DrawSettings, captions: Tensors, progress: Progress, own: Size
) -> Generator[Event, None, Image.Image]:
    """The drawing `shot.upscale` times as large. Each tile has a seed of its own, so that no pattern repeats.

    `own` is the width and height that the base draws.
    """
    step = pipeline.family.facts.size_step
    width, height = (max(round(side * shot.upscale / step), 1) * step for side in image.size)
    large = image.resize((width, height), Image.Resampling.LANCZOS)
    most = image.size if image.width * image.height <= own[0] * own[1] else own
    tile = (min(image.width, most[0], width), min(image.height, most[1], height))
    corners = [(left, top) for top in starts(height, tile[1]) for left in starts(width, tile[0])]
    settings = shot.model_copy(update={"width": tile[0], "height": tile[1]})

    def watched(step: int, of: int, x0: torch.Tensor | None) -> None:
        progress(step, of, None)  # a tile is no preview of the whole

    drawn = []
    for number, (left, top) in enumerate(corners):
        yield Phase("Enlarging", number, len(corners))
        part = large.crop((left, top, left + tile[0], top + tile[1]))
        seed = (shot.seed + number) % SEEDS
        begin = Beginning(part, shot.upscale_denoising)
        drawn.append(pipeline.draw(settings, seed, captions, watched, begin))
    return blended((width, height), zip(corners, drawn, strict=True))


def starts(side: int, tile: int) -> list[int]:
    """Where tiles begin along a side, evenly and overlapping by an eighth of a tile at least; px."""
    if side <= tile:
        return [0]
    count = -(-(side - tile // _SHARED) // (tile - tile // _SHARED))
    return [round(number * (side - tile) / (count - 1)) for number in range(count)]


def blended(size: tuple[int, int], tiles: Iterable[tuple[tuple[int, int], Image.Image]]) -> Image.Image:
    """Tiles by their corners as one picture (width, height); each counts less towards its edges."""
    total, weights = np.zeros((size[1], size[0], 3)), np.zeros((size[1], size[0], 1))
    for (left, top), image in tiles:
        weight = np.outer(_ramp(image.height), _ramp(image.width))[..., None]
        place = np.s_[top : top + image.height, left : left + image.width]
        total[place] += weight * np.asarray(image)
        weights[place] += weight
    return Image.fromarray((total / weights).round().astype(np.uint8))


def _ramp(side: int) -> np.ndarray:
    """Weights that rise evenly over an eighth of the side from either edge, and never reach 0; (side,)."""
    rise = np.minimum(np.arange(side) + 1, side - np.arange(side))
    return np.minimum(rise / max(side // _SHARED, 1), 1.0)
