"""The sampling loop, around the schedulers of diffusers. Knows no family, no settings and no picture."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import torch

from lora_gui.families.base import Stage

# Steps done, of how many, and the predicted x0 (B, C, ...) of a stage that is shown; ends the drawing by raising.
Progress = Callable[[int, int, torch.Tensor | None], None]


@torch.no_grad()
def sample(stage: Stage, generator: torch.Generator, progress: Progress | None = None) -> torch.Tensor:
    """From the noise of a stage to its finished latents, (B, ...), without a wait for the device.

    `generator` is for schedulers that add noise as they go. `progress` is called after each step.
    """
    latents, scheduler, times = stage.latents, stage.scheduler, stage.timesteps
    accepted = inspect.signature(scheduler.step).parameters
    for number, timestep in enumerate(times):
        noisy = scheduler.scale_model_input(latents, timestep) if hasattr(scheduler, "scale_model_input") else latents
        predicted = _predicted(stage, noisy, timestep, number < round(stage.guidance_end * len(times)))
        following = times[number + 1] if number + 1 < len(times) else None
        known = {"generator": generator, "eta": 0.0, "prev_timestep": following}
        given = {name: value for name, value in known.items() if name in accepted}
        latents = scheduler.step(predicted, timestep, latents, **given).prev_sample
        if stage.kept is not None:
            latents = stage.kept(latents, following)
        if progress:
            level = timestep.expand(len(noisy))
            x0 = stage.noising.x0(noisy, predicted[:, : noisy.shape[1]], level) if stage.shown else None
            progress(number + 1, len(times), x0)
    return latents


def _predicted(stage: Stage, noisy: torch.Tensor, timestep: torch.Tensor, guided: bool) -> torch.Tensor:
    """What is predicted, its branches put together by the stage's guidance; (B, C or more, ...).

    The last steps can do without it (Kynkäänniemi et al. 2024, 2404.07724).
    """
    if stage.guide and not guided:
        return stage.predict(noisy, timestep.expand(len(noisy)), stage.unguided)
    if stage.guide is None:
        return stage.predict(noisy, timestep.expand(len(noisy)), *stage.conditions)
    copies = 2 // len(stage.conditions)  # branches in a batch
    many = torch.cat([noisy] * copies)
    branches = [stage.predict(many, timestep.expand(len(many)), one) for one in stage.conditions]
    unconditional, conditional = branches if len(branches) == 2 else branches[0].chunk(2)
    return stage.guide(unconditional, conditional)
