"""What FLUX.1 and FLUX.2 share: latents as tokens, where each token stands, the loss of a step, and one drawing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from PIL import Image

from lora_gui.families.shared import losses
from lora_gui.settings import DrawSettings, TrainSettings


@dataclass(frozen=True)
class Shift:
    """How far noise levels move to the noisy side in larger pictures: mu runs straight from `few` to `many` tokens."""

    few: int
    many: int
    low: float  # mu at `few` tokens
    high: float  # mu at `many` tokens

    def at(self, tokens: int) -> float:
        """The shift for a picture of so many tokens, exp(mu); Esser et al. 2024, section 5.3.2, mu of FLUX.1."""
        return math.exp(self.low + (self.high - self.low) * (tokens - self.few) / (self.many - self.few))


def shift_of(base: Path) -> Shift:
    """As the scheduler of a base says. The scheduler's own table of noise levels is not shifted yet."""
    config = FlowMatchEulerDiscreteScheduler.load_config(base / "scheduler")
    return Shift(
        few=config.get("base_image_seq_len", 256),
        many=config.get("max_image_seq_len", 4096),
        low=config.get("base_shift", 0.5),
        high=config.get("max_shift", 1.15),
    )


def without_fp16(dtype: torch.dtype) -> torch.dtype:
    """The number format asked for, or bf16, which is as small, where that is fp16, in which these bases overflow."""
    return torch.bfloat16 if dtype == torch.float16 else dtype


def patches(latents: torch.Tensor) -> torch.Tensor:
    """Cells in blocks of 2 x 2 put on top of each other: (B, C, h, w) to (B, 4C, h/2, w/2)."""
    return torch.nn.functional.pixel_unshuffle(latents, 2)


def cells(patched: torch.Tensor) -> torch.Tensor:
    """The opposite of `patches`: (B, 4C, h, w) to (B, C, 2h, 2w)."""
    return torch.nn.functional.pixel_shuffle(patched, 2)


def tokens(patched: torch.Tensor) -> torch.Tensor:
    """(B, C, h, w) to (B, h * w, C), row by row."""
    return patched.flatten(2).transpose(1, 2)


def places(height: int, width: int, axes: int, device: torch.device) -> torch.Tensor:
    """Where each token of a picture stands: (0, row, column), filled with zeros up to so many axes; (h * w, axes)."""
    grid = torch.zeros((height, width, axes), device=device)
    grid[..., 1] = torch.arange(height, device=device)[:, None]
    grid[..., 2] = torch.arange(width, device=device)
    return grid.flatten(0, 1)


def loss(
    transformer: Any,
    latents: torch.Tensor,
    said: dict[str, Any],
    shift: Shift,
    settings: TrainSettings,
    generator: torch.Generator,
) -> torch.Tensor:
    """Plain flow loss of each picture, each noise level with weight 1; (B,) fp32.

    `latents` are patched, (B, C, h, w); `said` is what the transformer is told besides, by the names of its arguments.
    """
    height, width = latents.shape[-2:]
    noise = patches(losses.noise_like(cells(latents), settings.noise_offset, generator))
    sigma = losses.flow_sigmas(len(latents), latents.device, generator, shift.at(height * width))
    noisy, target = losses.flow_noised(latents, noise, sigma)
    predicted = transformer(
        hidden_states=tokens(noisy).to(transformer.x_embedder.weight.dtype),
        timestep=sigma,
        img_ids=places(height, width, len(transformer.config.axes_dims_rope), latents.device),
        **said,
    ).sample
    return losses.squared_error(predicted, tokens(target))


def draw(
    pipeline: Any, settings: DrawSettings, seed: int, progress: Callable[[int, Any], None] | None, **said: Any
) -> Image.Image:
    """One drawing; `said` are further arguments of the pipeline. `progress` is given patched latents (1, C, h, w)."""
    patch = 2 * pipeline.vae_scale_factor  # px
    grid = (settings.height // patch, settings.width // patch)

    def after_step(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if progress:
            progress(step + 1, pipe.scheduler.guess.transpose(1, 2).unflatten(2, grid))
        return tensors

    return pipeline(
        **said,
        width=settings.width,
        height=settings.height,
        num_inference_steps=settings.steps,
        generator=torch.Generator().manual_seed(seed),
        callback_on_step_end=after_step,
    ).images[0]
