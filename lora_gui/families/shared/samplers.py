"""The samplers by their common names: the schedulers of diffusers they are, and the noise schedules each takes.

Data only; which of them a family takes is for `families.samplers`. Names as A1111 has them, and as diffusers' own
table of schedulers maps them. A solver of one step at a time is called DPM++ 2S: it is not the ancestral DPM++ 2S a.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lora_gui.settings import Sampler, Schedule

# What a noise schedule is in the configuration of a scheduler.
SCHEDULES: dict[Schedule, dict[str, Any]] = {
    "Karras": {"use_karras_sigmas": True},  # Karras et al. 2022, eq. 5
    "Exponential": {"use_exponential_sigmas": True},
    "SGM Uniform": {"timestep_spacing": "trailing"},
    "Normal": {"timestep_spacing": "linspace"},
}
_SIGMAS: tuple[Schedule, ...] = ("Karras", "Exponential")
_SPACINGS: tuple[Schedule, ...] = ("SGM Uniform", "Normal")
_SDE = {"algorithm_type": "sde-dpmsolver++"}
_LAST_FIRST_ORDER = {"lower_order_final": True}  # the single-step solver needs it where steps are odd in number


@dataclass(frozen=True)
class Solver:
    """A scheduler of diffusers by the name of its class, what it is told besides, and the schedules it takes."""

    kind: str
    schedules: tuple[Schedule, ...] = ()
    told: dict[str, Any] = field(default_factory=dict)


DIFFUSION: dict[Sampler, Solver] = {
    "Euler": Solver("EulerDiscreteScheduler", (*_SIGMAS, *_SPACINGS)),
    "Euler a": Solver("EulerAncestralDiscreteScheduler", _SPACINGS),
    "Heun": Solver("HeunDiscreteScheduler", (*_SIGMAS, *_SPACINGS)),
    "DPM2": Solver("KDPM2DiscreteScheduler", (*_SIGMAS, *_SPACINGS)),
    "DPM2 a": Solver("KDPM2AncestralDiscreteScheduler", (*_SIGMAS, *_SPACINGS)),
    "DPM++ 2M": Solver("DPMSolverMultistepScheduler", (*_SIGMAS, *_SPACINGS)),
    "DPM++ 2M SDE": Solver("DPMSolverMultistepScheduler", (*_SIGMAS, *_SPACINGS), _SDE),
    "DPM++ 2S": Solver("DPMSolverSinglestepScheduler", _SIGMAS, _LAST_FIRST_ORDER),
    "DPM++ SDE": Solver("DPMSolverSinglestepScheduler", _SIGMAS, _LAST_FIRST_ORDER | _SDE),
    "UniPC": Solver("UniPCMultistepScheduler", (*_SIGMAS, *_SPACINGS)),
    "DEIS": Solver("DEISMultistepScheduler", (*_SIGMAS, *_SPACINGS)),
    "DDIM": Solver("DDIMScheduler", _SPACINGS),
    "DDPM": Solver("DDPMScheduler", _SPACINGS),
    "PLMS": Solver("PNDMScheduler", told={"skip_prk_steps": True}),
    "LCM": Solver("LCMScheduler"),
}
_FLOW_SIGMAS = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
# The last need flow sigmas, which leave no room for another schedule. Of DEIS the last step would do nothing: diffusers
# repeats the last flow sigma there, where the others end at 0.
FLOW: dict[Sampler, Solver] = {
    "Euler": Solver("FlowMatchEulerDiscreteScheduler", _SIGMAS),
    "Heun": Solver("FlowMatchHeunDiscreteScheduler"),
    "LCM": Solver("FlowMatchLCMScheduler", _SIGMAS),
    "DPM++ 2M": Solver("DPMSolverMultistepScheduler", told=_FLOW_SIGMAS),
    "DPM++ 2M SDE": Solver("DPMSolverMultistepScheduler", told=_FLOW_SIGMAS | _SDE),
    "DPM++ 2S": Solver("DPMSolverSinglestepScheduler", told=_FLOW_SIGMAS | _LAST_FIRST_ORDER),
    "UniPC": Solver("UniPCMultistepScheduler", told=_FLOW_SIGMAS),
}


def name_of(kind: str, config: dict[str, Any]) -> str:
    """The common name of a scheduler by its class and configuration; the class itself where it has none."""
    fits = [
        (len(one.told), name)
        for table in (DIFFUSION, FLOW)
        for name, one in table.items()
        if one.kind == kind and all(config.get(key) == value for key, value in one.told.items())
    ]
    return max(fits)[1] if fits else kind.removesuffix("Scheduler")


def schedule_of(config: dict[str, Any], asked: Schedule) -> str:
    """The name of the schedule that was asked for, or of the sigmas that a base's own configuration has; or empty."""
    own = (name for name in _SIGMAS if config.get(next(iter(SCHEDULES[name]))))
    return asked if asked != "base" else next(own, "")
