"""The scheduler that an order asks to be drawn with, made of the base's own as a user of diffusers would make it."""

from __future__ import annotations

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

    Raises UserError where the base is not drawn with it.
    """
    if settings.sampler == settings.schedule == "base":
        return kit
    *_, (part, own) = kit.schedulers.items()
    solver = _solver(own, family, settings)
    _require_schedule(solver, own, settings)
    told = solver.told | SCHEDULES.get(settings.schedule, {}) | _as_own(own, solver)
    made = getattr(diffusers, solver.kind).from_config(own.config, **told)
    return replace(kit, schedulers=kit.schedulers | {part: made})


def _solver(own: Any, family: str, settings: DrawSettings) -> Solver:
    """What is asked for; the base's own solver where only another schedule is."""
    known = families.samplers(family)
    kind = type(own).__name__
    name = name_of(kind, own.config) if settings.sampler == "base" else settings.sampler
    if name not in known:
        raise UserError(
            f"{'This sampler' if settings.sampler == 'base' else name} does not draw with this kind of base.",
            f"Choose one of {', '.join(known)}." if known else "Choose 'As the base says'.",
        )
    return known[name]  # type: ignore[index]


def _require_schedule(solver: Solver, own: Any, settings: DrawSettings) -> None:
    if settings.schedule != "base" and settings.schedule not in solver.schedules:
        raise UserError(
            f"This sampler does not take the noise schedule {settings.schedule} with this kind of base.",
            f"It takes {', '.join(solver.schedules)}." if solver.schedules else "Choose 'As the base says'.",
        )
    knows = "rescale_betas_zero_snr" in getattr(diffusers, solver.kind)().config
    if own.config.get("rescale_betas_zero_snr") and not knows:
        raise UserError(
            "This base begins at noise without any signal, which this sampler does not know.",
            "Choose Euler, DDIM or DPM++ 2M.",
        )


def _as_own(own: Any, solver: Solver) -> dict[str, Any]:
    """What a class calls otherwise than the base's own does, or must not take from it."""
    config, told = own.config, dict[str, Any]()
    if "use_flow_sigmas" in solver.told and "flow_shift" not in config:
        told["flow_shift"] = config.get("shift", 1.0)
    if config.get("variance_type") in ("learned", "learned_range") and solver.kind != type(own).__name__:
        told["variance_type"] = None  # they read it as that of three channels
    return told
