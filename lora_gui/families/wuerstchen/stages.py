"""The two stages of a drawing with Wuerstchen: the prior plans it in few large cells, the decoder carries it out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from diffusers.utils.torch_utils import randn_tensor

from lora_gui.families.base import Conditions, Kit, Stage
from lora_gui.families.shared.noising import VariancePreserving, first_noise, uniform
from lora_gui.settings import DrawSettings

_DECODER_STEPS = 12
_NOISIEST = 19 / 29  # share of the prior's steps for the noisiest third, as it is drawn with by default


@dataclass(frozen=True)
class Cosine(VariancePreserving):
    """A continuous cosine schedule over timesteps in [0, 1] (Nichol and Dhariwal 2021, eq. 17); predicts the noise."""

    offset: float

    @property
    def noisiest(self) -> float:
        return 1

    def abar(self, timesteps: torch.Tensor) -> torch.Tensor:
        """Both ends cut."""
        quarter = math.pi / 2
        levels = ((timesteps + self.offset) / (1 + self.offset) * quarter).cos() ** 2
        return (levels / math.cos(self.offset / (1 + self.offset) * quarter) ** 2).clamp(1e-4, 0.9999)

    def timesteps(self, latents: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Even, the noisiest end a little more often; (B,) fp32."""
        share = uniform(len(latents), latents.device, generator)
        return (1.08 * share + 0.001).clamp(0.001, 1)

    def weight(self, timesteps: torch.Tensor) -> torch.Tensor:
        """1 / (1 + snr) (Choi et al. 2022, eq. 8)."""
        return 1 / (1 + self.snr(timesteps))


def timesteps(steps: int) -> list[float]:
    """From 1 to 0, closer together in the noisiest third; at 29 steps diffusers' DEFAULT_STAGE_C_TIMESTEPS."""
    if steps == 1:
        return [1.0, 0.0]
    many = round(steps * _NOISIEST)
    return [*np.linspace(1.0, 2 / 3, many + 1), *np.linspace(2 / 3, 0.0, steps - many + 1)[1:]]


def plan(
    kit: Kit,
    settings: DrawSettings,
    text: torch.Tensor,
    generator: torch.Generator,
    predict: Callable[[torch.Tensor, torch.Tensor, Conditions], torch.Tensor],
) -> Stage:
    """The prior's stage, which ends with latents (1, 16, h, w), as WuerstchenPriorPipeline makes them."""
    prior, scheduler, cell = kit.parts["prior"], kit.schedulers["prior"], kit.further["resolution_multiple"]
    weight, guided = prior.projection.weight, settings.guidance > 1
    shape = (1, prior.config.c_in, math.ceil(settings.height / cell), math.ceil(settings.width / cell))
    noise = first_noise(shape, settings, generator, weight.device, weight.dtype)
    scheduler.set_timesteps(timesteps=timesteps(settings.steps), device=weight.device)
    return Stage(
        predict=predict,
        scheduler=scheduler,
        timesteps=scheduler.timesteps[:-1, None],  # the scheduler wants them (B,)
        latents=noise,
        noising=kit.noising["prior"],
        conditions=({"text": text[[1, 0] if guided else [0]].to(weight.device, weight.dtype)},),
        guide=partial(torch.lerp, weight=settings.guidance) if guided else None,
        guidance_end=settings.guidance_end,
        unguided={"text": text[:1].to(weight.device, weight.dtype)},
    )


def carry_out(kit: Kit, latents: torch.Tensor, text: torch.Tensor, generator: torch.Generator) -> Stage:
    """The decoder's stage, without guidance, which ends with what its vqgan decodes (WuerstchenDecoderPipeline)."""
    decoder, scheduler, config = kit.further["decoder"], kit.schedulers["decoder"], kit.further
    height, width = (int(side * config["latent_dim_scale"]) for side in latents.shape[-2:])
    shape = (1, decoder.config.c_in, height, width)
    noise = randn_tensor(shape, generator=generator, device=latents.device, dtype=latents.dtype)
    scheduler.set_timesteps(_DECODER_STEPS, device=latents.device)
    planned = latents * config["latent_mean"] - config["latent_std"]
    return Stage(
        predict=partial(_decoded, decoder),
        scheduler=scheduler,
        timesteps=scheduler.timesteps[:-1, None],
        latents=noise,
        noising=kit.noising["prior"],
        conditions=({"effnet": planned, "clip": text.to(latents.device, latents.dtype)},),
        shown=False,
    )


def _decoded(
    decoder: Any, cells: torch.Tensor, timesteps: torch.Tensor, conditions: Conditions
) -> torch.Tensor:
    return decoder(cells, r=timesteps.to(cells.dtype), **conditions)
