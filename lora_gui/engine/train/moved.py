"""Each picture in several places, up to half a cell of the latents apart, so that lines are learnt wherever they fall.

Encoders do not move their latents as their pictures are moved by less than a cell (Zhang 2019, arXiv 1904.11486).
Pixel art stays where it lies: its squares are to lie alike among the cells.
"""

from __future__ import annotations

import random
from typing import NamedTuple

import numpy as np
import torch

from lora_gui.settings import TrainSettings

_MOST = 4  # px; half a cell of most latents
_PLACES = [(x, y) for x in range(-_MOST, _MOST + 1) for y in range(-_MOST, _MOST + 1) if x or y]
_SIDE = 512  # px; more are not needed to see squares
_SQUARES = 3, 33  # px of a side; smaller ones are no squares to an encoder
_REGULAR = 0.7  # pixel art has 0.78 to 1, other drawings up to 0.45


class Way(NamedTuple):
    """How a picture is shown: mirrored, and moved to the right and down by so many px."""

    mirrored: bool = False
    by: tuple[int, int] = (0, 0)

    def of(self, image: torch.Tensor) -> torch.Tensor:
        """The image (C, H, W); what comes in at an edge is as the edge is."""
        (right, down), (height, width) = self.by, image.shape[-2:]
        rows = (torch.arange(height) - down).clamp(0, height - 1)
        columns = (torch.arange(width) - right).clamp(0, width - 1)
        moved = image[:, rows][:, :, columns] if any(self.by) else image
        return moved.flip(-1) if self.mirrored else moved


def ways(settings: TrainSettings, number: int, pixels: torch.Tensor) -> list[Way]:
    """How the picture `number`, of `pixels` (3, H, W), is shown; first as it is. Follows from the seed alone."""
    places = [(0, 0)]
    if settings.moved_views > 1 and not in_squares(pixels):
        places += random.Random(f"{settings.seed} moved {number}").sample(_PLACES, settings.moved_views - 1)
    return [Way(mirrored, by) for by in places for mirrored in (False, True)[: 1 + settings.flip]]


def in_squares(pixels: torch.Tensor) -> bool:
    """Whether a picture (3, H, W) is made of equal squares, as pixel art is: its edges come at one frequency."""
    height, width = pixels.shape[-2:]
    apart = -(-max(height, width) // _SIDE)
    small = torch.nn.functional.avg_pool2d(pixels[None], apart)[0].numpy() if apart > 1 else pixels.numpy()
    return all(_regular(np.abs(np.diff(small, axis=axis)).max(0).sum(axis=2 - axis)) > _REGULAR for axis in (1, 2))


def _regular(edges: np.ndarray) -> float:
    """How much of the edges (N,) across a picture comes at one distance; in [0, 1]."""
    spectrum = np.abs(np.fft.rfft(edges, 8 * len(edges))) / max(float(edges.sum()), 1e-6)
    distance = 1 / np.fft.rfftfreq(8 * len(edges)).clip(min=1e-6)
    least, most = _SQUARES
    return float(spectrum[(distance > least) & (distance < most)].max(initial=0.0))
