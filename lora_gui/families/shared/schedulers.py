"""The scheduler that a base comes with."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import diffusers
import torch

from lora_gui import files
from lora_gui.errors import UserError


def scheduler_of(base: Path) -> Any:
    """The scheduler that a base is drawn with. Raises ValueError where diffusers has none of its name."""
    entry = (files.read_json(base / "model_index.json") or {}).get("scheduler")
    name = str(entry[-1]) if isinstance(entry, list) and entry else ""
    if not (name.endswith("Scheduler") and hasattr(diffusers.schedulers, name)):
        raise ValueError(f"diffusers has no scheduler {name}")
    scheduler, told = getattr(diffusers.schedulers, name), base / "scheduler"
    if not scheduler.load_config(told).get("rescale_betas_zero_snr"):
        return scheduler.from_pretrained(told)
    if "rescale_betas_zero_snr" not in inspect.signature(scheduler).parameters:
        scheduler = diffusers.EulerDiscreteScheduler  # one that knows noise without any signal
    return scheduler.from_pretrained(told, timestep_spacing="trailing")  # begins there: Lin et al. 2024, section 3.3


def set_timesteps(scheduler: Any, steps: int, device: torch.device) -> torch.Tensor:
    """Set a scheduler of discrete diffusion to so many steps, and return its timesteps.

    Raises UserError where it cannot share the noise out over these.
    """
    most = scheduler.config.get("original_inference_steps", steps)  # of which consistency models take some
    if steps > most:
        raise UserError(f"This sampler takes {most} steps at most.", "Choose fewer steps, or another sampler.")
    scheduler.set_timesteps(steps, device=device)
    if hasattr(scheduler, "set_begin_index"):  # of the first sigmas two may fall on one timestep
        scheduler.set_begin_index(0)
    timesteps: torch.Tensor = scheduler.timesteps
    if not bool(timesteps.isfinite().all()):  # DPM2 a takes a root that rounds below 0
        raise UserError(
            f"This sampler cannot share out the noise of this base over {steps} steps.",
            "Choose more steps, another noise schedule, or another sampler.",
        )
    return timesteps
