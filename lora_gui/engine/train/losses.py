"""The loss of a step, built once for every family from what it says of its parts."""

from __future__ import annotations

from typing import Any

import torch

from lora_gui.families.base import Batch, Family, Noising
from lora_gui.settings import TrainSettings


def loss(
    family: Family,
    parts: dict[str, Any],
    batch: Batch,
    noising: dict[str, Noising],
    settings: TrainSettings,
    generator: torch.Generator,
) -> torch.Tensor:
    """Loss of each picture of a batch, the sum of those of the parts in `noising`; (B,) fp32.

    All random numbers come from `generator`: for each part its latents, noise, timesteps and conditions, in this order.
    """
    errors = []
    for part, process in noising.items():
        network = parts[part]
        latents = family.latents(part, network, batch, generator)
        noise = process.noise(latents, settings.noise_offset, generator)
        timesteps = process.timesteps(latents, generator)
        conditions = family.conditions(part, parts, batch, settings, generator)
        noisy = process.noisy(latents, noise, timesteps)
        predicted = family.predict(part, network, noisy, timesteps, conditions)
        error = squared_error(predicted[:, : latents.shape[1]], process.target(latents, noise, timesteps))
        errors.append(error * process.weight(timesteps, settings.min_snr_gamma))
    return torch.stack(errors).sum(0)


def squared_error(predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean squared error of each picture, computed in fp32; (B,)."""
    return (predicted.float() - target.float()).pow(2).flatten(1).mean(1)
