"""The loss of a step, built once for every family from what it says of its parts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import reduce
from typing import Any, NamedTuple

import torch

from lora_gui.engine.train import masks, timestep_bias
from lora_gui.families.base import Batch, Conditions, Family, Noising
from lora_gui.families.shared.noising import noise_like
from lora_gui.protocol.events import Note
from lora_gui.settings import TrainSettings

_LARGEST_SNR = 1000.0  # that debiased weights know, as kohya's apply_debiased_estimation has it
# What stands in the place of the base's own weighting, of a signal-to-noise ratio and the gamma of min-SNR, by what is
# predicted: an error of the noise is that of v by snr / (snr + 1), and that of the sample by snr.
# Min-SNR: Hang et al. 2023, eq. 7; debiased: Yu et al. 2023 (arXiv 2310.08442), 1 / sqrt(snr) of an error of the noise.
WEIGHTS: dict[str, dict[str, Callable[[torch.Tensor, float], torch.Tensor]]] = {
    "min_snr": {
        "epsilon": lambda snr, gamma: snr.clamp(max=gamma) / snr.clamp(min=1e-8),
        "v_prediction": lambda snr, gamma: snr.clamp(max=gamma) / (snr + 1),
        "sample": lambda snr, gamma: snr.clamp(max=gamma),
    },
    "debiased": {
        "epsilon": lambda snr, _: snr.clamp(1e-8, _LARGEST_SNR).rsqrt(),
        "v_prediction": lambda snr, _: snr.clamp(max=_LARGEST_SNR).sqrt() / (snr + 1),
        "sample": lambda snr, _: snr.clamp(max=_LARGEST_SNR).sqrt(),
    },
}


class Drawn(NamedTuple):
    """What a part learns from in a step: all that is random in it, and all that the host decides."""

    latents: torch.Tensor  # (B, ...) fp32
    noise: torch.Tensor  # as `latents`
    timesteps: torch.Tensor  # (B,)
    conditions: Conditions
    counts: torch.Tensor | None = None  # (B, 1, h, w), how much each cell of the latents counts; None is all alike


def drawn(
    family: Family,
    parts: dict[str, Any],
    batch: Batch,
    noising: dict[str, Noising],
    settings: TrainSettings,
    generator: torch.Generator,
    within: timestep_bias.Within | None = None,
) -> dict[str, Drawn]:
    """What each part learns from; its latents, noise, timesteps and conditions come from `generator` in this order.

    `within` is of the noise levels; as the settings say where it is None.
    """
    within = within or (0.0, settings.learn_below)
    found = {}
    for part, process in noising.items():
        latents = family.latents(part, parts[part], batch, generator)
        noise = noise_like(latents, settings.noise_offset, generator)
        timesteps = process.timesteps(latents, generator)
        timesteps = timestep_bias.applied(settings.timestep_bias, timesteps, process.noisiest, within)
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
    """The loss of each picture, the sum of those of the parts, (B,) fp32: a pure function of tensors, which a card can
    do again without the host."""
    errors = []
    for part, (latents, noise, timesteps, conditions, counts) in given.items():
        process = noising[part]
        noisy = process.noisy(latents, noise, timesteps)
        predicted = family.predict(part, parts[part], noisy, timesteps, conditions)
        target, threshold = process.target(latents, noise, timesteps), huber_threshold(process, timesteps, settings)
        error = mean_error(predicted[:, : latents.shape[1]], target, counts, threshold)
        errors.append(error * weight(process, timesteps, settings))
    return reduce(torch.add, errors)


def mean_error(
    predicted: torch.Tensor, target: torch.Tensor, counts: torch.Tensor | None = None,
    threshold: torch.Tensor | None = None,
) -> torch.Tensor:  # fmt: skip
    """Mean error of each picture, computed in fp32; (B,). Where cells count differently, their weighted mean, so that a
    picture counts as much as any other however little of it is learnt.

    Squared, or with a `threshold` c, (B,), pseudo-Huber: 2 c (sqrt(d^2 + c^2) - c), which is d^2 of small d and
    2 c |d| of large ones (Khrapov et al. 2024, arXiv 2403.16728; the factor is kohya's).
    """
    error = (predicted.float() - target.float()).pow(2)
    if threshold is not None:
        c = threshold.view(-1, *[1] * (error.ndim - 1))
        error = 2 * c * error / ((error + c * c).sqrt() + c)  # the same, and exact for small d
    if counts is None:
        return error.flatten(1).mean(1)
    return (error * counts).flatten(1).mean(1) / counts.flatten(1).mean(1)


def weight(process: Noising, timesteps: torch.Tensor, settings: TrainSettings) -> torch.Tensor | float:
    """The factor of each loss, (B,)."""
    kind = "debiased" if settings.debiased else "min_snr" if settings.min_snr_gamma else ""
    snr = process.snr(timesteps) if kind else None
    return process.weight(timesteps) if snr is None else WEIGHTS[kind][process.predicts](snr, settings.min_snr_gamma)


def huber_threshold(process: Noising, timesteps: torch.Tensor, settings: TrainSettings) -> torch.Tensor | None:
    """The threshold of each picture's Huber loss, (B,) fp32; none where it is squared.

    Schedules as kohya's get_huber_threshold_if_needed has them: from about 1 at clear steps to the one that is set.
    """
    if settings.loss != "huber":
        return None
    c, shares = settings.huber_c, timesteps.float() / process.noisiest
    if settings.huber_schedule == "constant":
        return torch.full_like(shares, c)
    snr = process.snr(timesteps) if settings.huber_schedule == "snr" else None
    if snr is None:
        return torch.exp(math.log(c) * shares)
    return (1 - c) / (1 + snr.rsqrt()) ** 2 + c


def notes(noising: dict[str, Noising], settings: TrainSettings) -> Iterator[Note]:
    """What of the loss is asked for and counts otherwise."""
    shares = torch.zeros(1, dtype=torch.int64)
    by_snr = [process.snr(shares) is not None for process in noising.values()]
    if settings.debiased and not all(by_snr):
        yield Note("This base learns by flow, which has no signal-to-noise ratio: the loss is not debiased.")
    elif settings.debiased and settings.min_snr_gamma:
        yield Note("The debiased loss takes the place of min-SNR.")
    if settings.loss == "huber" and settings.huber_schedule == "snr" and not all(by_snr):
        yield Note("This base learns by flow, which has no signal-to-noise ratio: Huber's schedule is exponential.")
