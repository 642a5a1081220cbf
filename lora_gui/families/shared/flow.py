"""What the bases of rectified flow share: how their schedulers shift noise levels, in training and in drawing."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

_CELLS = 4  # of a token: a patch of 2 x 2


@dataclass(frozen=True)
class Shift:
    """The shift for larger pictures: mu runs straight from `low` at `few` tokens to `high` at `many`."""

    few: int
    many: int
    low: float
    high: float

    @classmethod
    def of(cls, config: Any) -> Shift:
        """As the configuration of a scheduler has it; its own table of noise levels is not shifted yet."""
        return cls(
            few=config.get("base_image_seq_len", 256),
            many=config.get("max_image_seq_len", 4096),
            low=config.get("base_shift", 0.5),
            high=config.get("max_shift", 1.15),
        )

    def mu(self, tokens: int) -> float:
        """The logarithm of the shift for a picture of so many tokens."""
        slope = (self.high - self.low) / (self.many - self.few)
        return tokens * slope + (self.low - slope * self.few)

    def __call__(self, cells: int) -> float:
        """The shift for latents of so many cells, exp(mu); Esser et al. 2024, section 5.3.2, mu of FLUX.1."""
        return math.exp(self.mu(cells // _CELLS))


def config_of(base: Path) -> Any:
    """The configuration of a base's scheduler."""
    return FlowMatchEulerDiscreteScheduler.load_config(base / "scheduler")


def static_shift(base: Path) -> Callable[[int], float]:
    """The same shift for every size, or the one by size where the scheduler says so."""
    config = config_of(base)
    if config.get("use_dynamic_shifting"):
        return Shift.of(config)
    shift = float(config.get("shift", 1.0))
    return lambda cells: shift


def set_timesteps(
    scheduler: Any, steps: int, latents: torch.Tensor, even: bool = True, mu: float | None = None
) -> torch.Tensor:
    """Set a scheduler to so many steps over latents of this size; `even` starts from evenly spaced noise levels."""
    takes = inspect.signature(scheduler.set_timesteps).parameters
    even = even and "sigmas" in takes and not scheduler.config.get("use_flow_sigmas")
    given: dict[str, Any] = {"sigmas": np.linspace(1.0, 1 / steps, steps)} if even else {"num_inference_steps": steps}
    if mu is not None or scheduler.config.get("use_dynamic_shifting"):
        tokens = latents.shape[-2] * latents.shape[-1] // _CELLS
        given["mu"] = Shift.of(scheduler.config).mu(tokens) if mu is None else mu
    if "mu" in given and "mu" not in takes:  # the same shift, under its other name
        scheduler.register_to_config(shift=math.exp(given.pop("mu")))
    scheduler.set_timesteps(device=latents.device, **given)
    scheduler.set_begin_index(0)
    return scheduler.timesteps
