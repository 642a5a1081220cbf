"""The loss of a step, built once for every family from what it says of its parts."""

from __future__ import annotations

from functools import reduce
from typing import Any, NamedTuple

import torch

from lora_gui.engine.train import masks, timestep_bias
from lora_gui.families.base import Batch, Conditions, Family, Noising
from lora_gui.settings import TrainSettings


class Drawn(NamedTuple):
    """What a part learns from in a step: all that is random in it, and all that the host decides."""

    latents: torch.Tensor  # (B, ...) fp32
    noise: torch.Tensor  # as `latents`
    timesteps: torch.Tensor  # (B,)
    conditions: Conditions
    counts: torch.Tensor | None = None  # (B, 1, h, w), how much each cell of the latents counts; None is all alike


def loss(
    family: Family,
    parts: dict[str, Any],
    batch: Batch,
    noising: dict[str, Noising],
    settings: TrainSettings,
    generator: torch.Generator,
) -> torch.Tensor:
    """Loss of each picture of a batch, the sum of those of the parts in `noising`; (B,) fp32."""
    return computed(family, parts, drawn(family, parts, batch, noising, settings, generator), noising, settings)


def drawn(
    family: Family,
    parts: dict[str, Any],
    batch: Batch,
    noising: dict[str, Noising],
    settings: TrainSettings,
    generator: torch.Generator,
) -> dict[str, Drawn]:
    """What each part learns from; its latents, noise, timesteps and conditions come from `generator` in this order."""
    found = {}
    for part, process in noising.items():
        latents = family.latents(part, parts[part], batch, generator)
        noise = process.noise(latents, settings.noise_offset, generator)
        timesteps = process.timesteps(latents, generator)
        timesteps = timestep_bias.applied(settings.timestep_bias, timesteps, process.noisiest)
        conditions = family.conditions(part, parts, batch, settings, generator)
        found[part] = Drawn(latents, noise, timesteps, conditions, masks.counts(batch, latents, settings))
    return found


def computed(
    family: Family,
    parts: dict[str, Any],
    given: dict[str, Drawn],
    noising: dict[str, Noising],
    settings: TrainSettings,
) -> torch.Tensor:
    """The loss of each picture, (B,) fp32: a pure function of tensors, which a card can do again without the host."""
    errors = []
    for part, (latents, noise, timesteps, conditions, counts) in given.items():
        process = noising[part]
        noisy = process.noisy(latents, noise, timesteps)
        predicted = family.predict(part, parts[part], noisy, timesteps, conditions)
        error = squared_error(predicted[:, : latents.shape[1]], process.target(latents, noise, timesteps), counts)
        errors.append(error * process.weight(timesteps, settings.min_snr_gamma))
    return reduce(torch.add, errors)


def squared_error(
    predicted: torch.Tensor, target: torch.Tensor, counts: torch.Tensor | None = None
) -> torch.Tensor:
    """Mean squared error of each picture, computed in fp32; (B,). Where cells count differently, their weighted mean,
    so that a picture counts as much as any other however little of it is learnt."""
    error = (predicted.float() - target.float()).pow(2)
    if counts is None:
        return error.flatten(1).mean(1)
    return (error * counts).flatten(1).mean(1) / counts.flatten(1).mean(1)
