"""Ranks and layers that a step does without, others in each: a factor for each row of the lower halves.

Rank dropout as kohya and LyCORIS have it, what is left scaled up by 1 / (1 - p); layer dropout is their module dropout.
Since y = W x + s B diag(m) A x, it is enough to multiply A by m for the step, and its gradient by m once.
"""

from __future__ import annotations

import torch

from lora_gui.engine.train.adapter import Masters
from lora_gui.settings import TrainSettings


class Dropout:
    """Of one run; with neither asked for it does nothing."""

    def __init__(self, masters: list[Masters], settings: TrainSettings, where: torch.device) -> None:
        self._ranks, self._layers, self._seed = settings.rank_dropout, settings.module_dropout, settings.seed
        self._masters = [one for one in masters if one.scales] if self._ranks or self._layers else []
        self._generator = torch.Generator(where)
        self._factors = [
            torch.ones(len(downs), max(len(down) for down in downs), device=where)
            for downs in (_lower(one, one.flat.data) for one in self._masters)
        ]

    def begin(self, step: int) -> None:
        """Leave out what a step does without, by its number and the seed alone; `refresh` of the masters undoes it."""
        self._generator.manual_seed(self._seed * 1_000_033 + step)
        for one, factors in zip(self._masters, self._factors, strict=True):
            kept = self._drawn(factors.shape) >= self._ranks
            there = self._drawn(factors.shape[:1]) >= self._layers
            factors.copy_(kept * there[:, None] / (1 - self._ranks))
            _multiply(_lower(one, one.shadow), factors)

    def end(self) -> None:
        """Let the gradients be of what was there."""
        for one, factors in zip(self._masters, self._factors, strict=True):
            assert one.flat.grad is not None
            _multiply(_lower(one, one.flat.grad), factors)

    def _drawn(self, shape: torch.Size) -> torch.Tensor:
        return torch.rand(shape, generator=self._generator, device=self._generator.device)


def _lower(masters: Masters, buffer: torch.Tensor) -> list[torch.Tensor]:
    """The lower half of each layer; of a LoKr whose second factor is no product, this factor."""
    return [weights[0] for weights in masters.by_layer(buffer)]


def _multiply(downs: list[torch.Tensor], factors: torch.Tensor) -> None:
    for down, factor in zip(downs, factors, strict=True):
        down.mul_(factor[: len(down)].view(-1, *[1] * (down.ndim - 1)))
