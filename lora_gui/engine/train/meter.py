"""How much nearer a run comes to pictures it learns, and to ones it was never given: losses that can be compared.

Each is taken at noise and timesteps that stay the same, and told relative to that of step 0. It draws from generators
of its own and keeps no gradient: with it or without it a run learns the same, bit for bit.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from lora_gui.engine.train.cache import Cache
from lora_gui.families.base import Batch
from lora_gui.framing import Size
from lora_gui.protocol.events import Measured
from lora_gui.protocol.jobs import TrainJob
from lora_gui.settings import TrainSettings

_FEWEST = 10  # pictures, of which some are kept back; of fewer each counts too much
_SHARE, _LEAST, _MOST = 0.1, 2, 10  # of the pictures that are kept back
_COST = 0.03  # of the passes through the base that training makes, over the whole run
_LOOKS = 8  # after step 0, where there are as many steps
_DRAWS = 4  # of noise and timesteps for each picture, where they cost no more

LossOf = Callable[[Batch, torch.Generator], torch.Tensor]  # of each picture, (B,)


def kept_back(count: int, settings: TrainSettings) -> list[int]:
    """The numbers of the pictures, of `count`, that are not learnt; the same whenever the run goes on."""
    if not settings.keep_back or count < _FEWEST:
        return []
    some = min(_MOST, max(_LEAST, math.ceil(_SHARE * count)))
    return sorted(random.Random(f"{settings.seed} kept back").sample(range(count), some))


class Meter:
    """Measures one run; `first` are the losses of step 0."""

    def __init__(self, cache: Cache, job: TrainJob, loss_of: LossOf) -> None:
        settings, names = job.settings, [Path(picture.path).name for picture in job.pictures]
        self.back = kept_back(len(names), settings)
        self.learnt = [n for n in range(len(names)) if n not in self.back]
        self.first: list[float] = []
        self._cache, self._names, self._loss_of = cache, names, loss_of
        steps = (*job.extended_at, settings.steps)[0]  # what is compared stays the same once a run is extended
        self._every = math.ceil(steps / _LOOKS)
        passes = int(_COST * 3 * steps * settings.batch_size * settings.accumulation / (_LOOKS + 1))
        watched = self.learnt[: max(_LEAST, passes - len(self.back))]
        self._draws = max(1, min(_DRAWS, passes // max(1, len(watched) + len(self.back))))
        self._batches = _by_size(cache.sizes, watched + self.back, settings.batch_size)
        self._settings = settings

    def kept(self) -> dict[str, Any]:
        """What a checkpoint keeps, JSON."""
        return {"draws": self._draws, "batches": self._batches, "first": self.first}

    def restore(self, kept: dict[str, Any]) -> None:
        """Go on from what was kept; where it is measured otherwise now, as in smaller batches, nothing is told."""
        self.first = kept.get("first", []) if kept == self.kept() | {"first": kept.get("first")} else []

    def is_due(self, step: int) -> bool:
        """Whether it is measured after a step: some times in a run, and at its end."""
        return step % self._every == 0 or step == self._settings.steps

    @torch.no_grad()
    def measure(self, step: int) -> Measured | None:
        """The losses now over those of step 0; None where these are not known, as in runs of earlier versions."""
        if step and not self.first:
            return None
        losses = self._losses()
        if not step:
            self.first = losses
        order = [n for batch in self._batches for n in batch]
        pairs = {n: (now, then) for n, now, then in zip(order, losses, self.first, strict=True)}
        return Measured(
            step,
            _relative([pairs[n] for n in order if n not in self.back]) or 0.0,
            _relative([pairs[n] for n in self.back]),
            {self._names[n]: round(now / then, 4) for n, (now, then) in pairs.items() if n not in self.back and then},
        )

    def _losses(self) -> list[float]:
        """Of each picture in the order of the batches, the mean over its draws; waits for the device once."""
        found = []
        for number, numbers in enumerate(self._batches):
            batch = self._cache.batch(numbers, 0.0, random.Random(0))
            draws = []
            for draw in range(self._draws):
                generator = torch.Generator(self._cache.device)
                generator.manual_seed((self._settings.seed * 1_000_003 + number) * _DRAWS + draw)
                draws.append(self._loss_of(batch, generator))
            found.append(torch.stack(draws).mean(0))
        return [float(loss) for loss in torch.cat(found).cpu()]


def _relative(pairs: list[tuple[float, float]]) -> float | None:
    """All losses now over all at first; None of none."""
    first = sum(then for _, then in pairs)
    return round(sum(now for now, _ in pairs) / first, 4) if first else None


def _by_size(sizes: list[Size], numbers: list[int], at_once: int) -> list[list[int]]:
    groups = [[n for n in numbers if sizes[n] == size] for size in dict.fromkeys(sizes[n] for n in numbers)]
    return [group[start : start + at_once] for group in groups for start in range(0, len(group), at_once)]
