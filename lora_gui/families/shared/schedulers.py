"""The scheduler that a base comes with."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import diffusers

from lora_gui import files


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
