"""The scheduler that an order asks to be drawn with, made of the base's own as a user of diffusers would make it."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import diffusers

from lora_gui import families
from lora_gui.errors import UserError
from lora_gui.families.base import Kit
from lora_gui.families.shared.samplers import SCHEDULES, Solver, name_of
from lora_gui.settings import DrawSettings


def chosen(kit: Kit, family: str, settings: DrawSettings) -> Kit:
    """The kit with the scheduler that is asked for in place of the one that is named in drawings.

    Raises UserError where the base is not drawn with it, or has no such noise schedule.
    """
    if settings.sampler == settings.schedule == "base":
        return kit
    *_, (part, own) = kit.schedulers.items()
    asked = name_of(type(own).__name__, own.config) if settings.sampler == "base" else settings.sampler
    found = families.solver(family, asked, settings.schedule)  # type: ignore[arg-type]  # one without a name is refused
    _require_start(found, own)
    told = found.told | SCHEDULES.get(settings.schedule, {})
    made = getattr(diffusers, found.kind).from_config(_config(own, found), **told)
    return replace(kit, schedulers=kit.schedulers | {part: made})


def _require_start(found: Solver, own: Any) -> None:
    if own.config.get("rescale_betas_zero_snr") and "rescale_betas_zero_snr" not in _known(found):
        raise UserError(
            "This base begins at noise without any signal, which this sampler does not know.",
            "Choose Euler, DDIM or DPM++ 2M.",
        )


def _known(found: Solver) -> Collection[str]:
    """What its configuration can say; some classes take a tenth of a second to be made."""
    return inspect.signature(getattr(diffusers, found.kind)).parameters


def _config(own: Any, found: Solver) -> dict[str, Any]:
    """The base's own, with what a class calls otherwise, and without what it would read wrongly."""
    config, known = dict(own.config), _known(found)
    if "clip_sample" in known:  # done unless told, which is right for pixels alone
        config.setdefault("clip_sample", False)
    if "use_flow_sigmas" in found.told:
        config.setdefault("flow_shift", config.get("shift", 1.0))
    if found.kind != type(own).__name__ and config.get("variance_type") in ("learned", "learned_range"):
        config["variance_type"] = None  # they read it as that of three channels, or not at all
    return config
