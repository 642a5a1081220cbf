"""Drawing with Wuerstchen: the prior plans a picture in few large cells, the decoder and its vqgan carry it out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers.image_processor import VaeImageProcessor
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image

from lora_gui.settings import DrawSettings

_DECODER_STEPS = 12
_NOISIEST = 19 / 29  # share of the prior's steps for the noisiest third, as it is drawn with by default


@dataclass
class Stages:
    """Both stages; diffusers' own two pipelines insist on text encoders, which training lets go."""

    prior: Any
    prior_scheduler: Any
    decoder: Any
    scheduler: Any
    vqgan: Any
    encoders: Any  # None where captions come encoded
    config: dict[str, float]
    colours: Any


def alphas_cumprod(timesteps: torch.Tensor, offset: float) -> torch.Tensor:
    """The share of the signal at `timesteps` in [0, 1]; a cosine (Nichol and Dhariwal 2021, eq. 17), both ends cut."""
    quarter = math.pi / 2
    levels = ((timesteps + offset) / (1 + offset) * quarter).cos() ** 2
    return (levels / math.cos(offset / (1 + offset) * quarter) ** 2).clamp(1e-4, 0.9999)


def timesteps(steps: int) -> list[float]:
    """From 1 to 0, closer together in the noisiest third; at 29 steps diffusers' DEFAULT_STAGE_C_TIMESTEPS."""
    many = max(1, round(steps * _NOISIEST))
    return [*np.linspace(1.0, 2 / 3, many + 1), *np.linspace(2 / 3, 0.0, steps - many + 1)[1:]]


@torch.no_grad()
def planned(
    pipeline: Stages,
    settings: DrawSettings,
    text: torch.Tensor,
    generator: torch.Generator,
    progress: Callable[[int, Any], None] | None,
) -> torch.Tensor:
    """The latents of the prior (1, 16, h, w), as WuerstchenPriorPipeline makes them."""
    prior, scheduler, cell = pipeline.prior, pipeline.prior_scheduler, pipeline.config["resolution_multiple"]
    weight, guided = prior.projection.weight, settings.guidance > 1
    text = text[: 2 if guided else 1].to(weight.device, weight.dtype)
    shape = (1, prior.config.c_in, math.ceil(settings.height / cell), math.ceil(settings.width / cell))
    latents = randn_tensor(shape, generator=generator, device=weight.device, dtype=weight.dtype)
    scheduler.set_timesteps(timesteps=timesteps(settings.steps), device=weight.device)
    for step, timestep in enumerate(scheduler.timesteps[:-1], start=1):
        level = timestep.expand(1)
        predicted = prior(torch.cat([latents] * len(text)), level.expand(len(text)), text)
        if guided:
            wanted, unwanted = predicted.chunk(2)
            predicted = torch.lerp(unwanted, wanted, settings.guidance)
        if progress:
            abar = alphas_cumprod(level, scheduler.config.s)
            progress(step, (latents - (1 - abar).sqrt() * predicted) / abar.sqrt())
        latents = scheduler.step(predicted, level, latents, generator=generator).prev_sample
    return latents


@torch.no_grad()
def decoded(pipeline: Stages, latents: torch.Tensor, text: torch.Tensor, generator: torch.Generator) -> Image.Image:
    """The picture that latents of the prior stand for, as WuerstchenDecoderPipeline makes it."""
    decoder, scheduler, config = pipeline.decoder, pipeline.scheduler, pipeline.config
    plan = latents * config["latent_mean"] - config["latent_std"]
    text = text.to(latents.device, latents.dtype)
    height, width = (int(side * config["latent_dim_scale"]) for side in latents.shape[-2:])
    shape = (1, decoder.config.c_in, height, width)
    cells = randn_tensor(shape, generator=generator, device=latents.device, dtype=latents.dtype)
    scheduler.set_timesteps(_DECODER_STEPS, device=latents.device)
    for timestep in scheduler.timesteps[:-1]:
        level = timestep.expand(1)
        predicted = decoder(cells, r=level.to(cells.dtype), effnet=plan, clip=text)
        cells = scheduler.step(predicted, level, cells, generator=generator).prev_sample
    pixels = pipeline.vqgan.decode(pipeline.vqgan.config.scale_factor * cells).sample.clamp(0, 1)
    return VaeImageProcessor.numpy_to_pil(pixels.permute(0, 2, 3, 1).float().cpu().numpy())[0]
