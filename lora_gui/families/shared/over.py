"""Drawing over a picture: where the steps begin, and what of the picture is kept beside its mask.

As the image-to-image and inpainting pipelines of diffusers do it for denoisers that take no mask themselves.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch

from lora_gui.families.base import Over, Stage


def begun(stage: Stage, original: torch.Tensor, noise: torch.Tensor, over: Over, steps: int) -> Stage:
    """The stage from where the latents `original` (1, C, h, w) of a picture are noised with `noise`, shaped alike.

    `steps` are those of a whole drawing, of which the last share `over.strength` is done; one at least.
    """
    scheduler = stage.scheduler
    first = min(_first(scheduler, steps, over.strength), steps - 1) * getattr(scheduler, "order", 1)
    timesteps = stage.timesteps[first:]
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first)
    anew = over.mask is not None and over.strength == 1  # nothing of the picture is wanted in it
    if over.mask is not None:
        original = original.contiguous()  # as those pipelines have it: what is convolved rounds by its layout
    latents = stage.latents if anew else _noised(scheduler, original, noise, timesteps[:1])
    kept = None
    if over.mask is not None:
        cells = torch.nn.functional.interpolate(over.mask, size=original.shape[-2:]).to(original)
        kept = partial(_kept, scheduler, original, noise, cells)
    return replace(stage, timesteps=timesteps, latents=latents, kept=kept)


def _first(scheduler: Any, steps: int, strength: float) -> int:
    """The step that is done first; the pipelines of rectified flow round it down, those of diffusion up."""
    if hasattr(scheduler, "scale_noise") or scheduler.config.get("use_flow_sigmas"):
        return int(max(steps - min(steps * strength, steps), 0))
    return max(steps - min(int(steps * strength), steps), 0)


def _noised(scheduler: Any, latents: torch.Tensor, noise: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
    """The latents at a timestep (1,) of the scheduler, which rectified flow says otherwise."""
    if hasattr(scheduler, "scale_noise"):
        return scheduler.scale_noise(latents, timestep, noise)  # type: ignore[no-any-return]
    return scheduler.add_noise(latents, noise, timestep)  # type: ignore[no-any-return]


def _kept(
    scheduler: Any,
    original: torch.Tensor,
    noise: torch.Tensor,
    mask: torch.Tensor,
    latents: torch.Tensor,
    following: torch.Tensor | None,
) -> torch.Tensor:
    """The latents with the picture's own, noised as they are, where the mask (1, 1, h, w) is 0."""
    own = original if following is None else _noised(scheduler, original, noise, following.reshape(1))
    return (1 - mask) * own + mask * latents
