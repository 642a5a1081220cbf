"""How the LoRA's weights are improved: the optimizers by table, and the learning rate as a function of the step."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from lora_gui import lean
from lora_gui.engine.train.adapter import Masters
from lora_gui.errors import UserError
from lora_gui.settings import TrainSettings

Groups = list[dict[str, Any]]  # weights that have a learning rate in common: those of denoisers, then of text encoders


def make(masters: list[Masters], settings: TrainSettings) -> torch.optim.Optimizer:
    """The optimizer that is asked for: over flat buffers, unless it must know each matrix."""
    groups = [
        {"params": weights, "text": one.of_texts, "times": times} | (_UNDECAYED if not one.scales else {})
        for one in masters
        for times, weights in zip((1.0, settings.up_ratio), one.given(settings.optimizer in _BY_PIECE), strict=False)
    ]
    return OPTIMIZERS[settings.optimizer](groups, settings)


def adamw(weights: Groups, settings: TrainSettings) -> torch.optim.Optimizer:
    """With its rates on the device, so that a recorded step (graphs.py) reads them there."""
    for group in weights:
        group["lr"] = torch.tensor(settings.learning_rate, device=group["params"][0].device)
    return torch.optim.AdamW(weights, weight_decay=settings.weight_decay, fused=True)


def adamw_8bit(weights: Groups, settings: TrainSettings) -> torch.optim.Optimizer:
    """AdamW with its two averages in 8 bits, a scale for 256 values (Dettmers et al. 2022)."""
    try:
        bitsandbytes = lean.bitsandbytes()
    except ImportError:
        raise UserError("The 8-bit optimizer is not installed here.", "Choose AdamW or Adafactor.") from None
    return bitsandbytes.optim.AdamW8bit(weights, lr=settings.learning_rate, weight_decay=settings.weight_decay)


def adafactor(weights: Groups, settings: TrainSettings) -> torch.optim.Optimizer:
    """Adafactor with the given rate (Shazeer and Stern 2018): two vectors for each matrix."""
    from transformers.optimization import Adafactor

    return Adafactor(
        weights,
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        scale_parameter=False,
        relative_step=False,
        warmup_init=False,
    )


def prodigy(weights: Groups, settings: TrainSettings) -> torch.optim.Optimizer:
    """Prodigy finds its own rate (Mishchenko and Defazio 2023); the given one, 1 as a rule, multiplies it."""
    from prodigyopt import Prodigy

    return Prodigy(
        weights,
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        use_bias_correction=True,
        safeguard_warmup=True,
    )


OPTIMIZERS: dict[str, Callable[[Groups, TrainSettings], torch.optim.Optimizer]] = {
    "adamw": adamw,
    "adamw8bit": adamw_8bit,
    "adafactor": adafactor,
    "prodigy": prodigy,
}
_UNDECAYED = {"weight_decay": 0.0}  # magnitudes, which stand for the base's own: to pull them to 0 is no pull to it
_BY_PIECE = ("adafactor",)  # its state is that of rows and columns
# bytes that each keeps for a weight of so many values in so many rows and columns together; for the memory planner
STATE_BYTES: dict[str, Callable[[int, int], int]] = {
    "adamw": lambda values, edges: 8 * values,
    "adamw8bit": lambda values, edges: 2 * values,
    "adafactor": lambda values, edges: 4 * edges,
    "prodigy": lambda values, edges: 16 * values,
}


def _constant(progress: float, restarts: int) -> float:
    return 1.0


def _linear(progress: float, restarts: int) -> float:
    return max(0.0, 1 - progress)


def _cosine(progress: float, restarts: int) -> float:
    return 0.5 * (1 + math.cos(math.pi * progress))


def _cosine_with_restarts(progress: float, restarts: int) -> float:
    return 0.0 if progress >= 1 else 0.5 * (1 + math.cos(math.pi * (restarts * progress % 1)))


SCHEDULES: dict[str, Callable[[float, int], float]] = {
    "constant": _constant,
    "linear": _linear,
    "cosine": _cosine,
    "cosine_with_restarts": _cosine_with_restarts,
}


def warmup(settings: TrainSettings, extended_at: Sequence[int] = ()) -> int:
    """Steps of the rise, which a run keeps that is extended."""
    return settings.warmup_in((*extended_at, settings.steps)[0])


def shortened_warmup(settings: TrainSettings, extended_at: Sequence[int] = ()) -> str:
    """A sentence where the warm-up that is set does not fit into the run."""
    if (rise := warmup(settings, extended_at)) == settings.warmup_steps:
        return ""
    asked, steps = settings.warmup_steps, (*extended_at, settings.steps)[0]
    return f"A warm-up of {asked} steps does not fit into a run of {steps}, so it takes {rise or 'none'}."


def never_adapted(optimizer: torch.optim.Optimizer) -> str:
    """A sentence where Prodigy's estimate of the rate is still the one that it began with."""
    group = optimizer.param_groups[0]
    if "d0" not in group or group["d"] > group["d0"]:
        return ""
    return "Prodigy never adapted its learning rate, so little was learnt: train longer, at rate 1, or with AdamW."


def rate(step: int, settings: TrainSettings, extended_at: Sequence[int] = ()) -> float:
    """The share of the learning rate that counts in step `step` (0 is the first): a rise, then the schedule.

    A run that was finished at `extended_at` and then extended runs its schedule anew over the added steps, from half
    the rate (a warm restart, Loshchilov and Hutter 2017): stretching the old curve would leave them almost no rate.
    """
    ends = [*extended_at, settings.steps]
    leg = next((n for n, end in enumerate(ends) if step < end), len(ends) - 1)
    rise = warmup(settings, extended_at)
    start, peak = (ends[leg - 1], 0.5) if leg else (rise, 1.0)
    if not leg and step < rise:
        return step / rise
    if settings.scheduler == "constant":
        return 1.0
    return peak * SCHEDULES[settings.scheduler]((step - start) / max(1, ends[leg] - start), settings.restarts)


def set_rates(optimizer: torch.optim.Optimizer, settings: TrainSettings, share: float) -> None:
    """Give each of the groups its share of its learning rate; upper halves a multiple of it (Hayou et al. 2024)."""
    for group in optimizer.param_groups:
        rate = (settings.text_rate if group.get("text") else settings.learning_rate) * share * group.get("times", 1.0)
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def capturable(optimizer: torch.optim.Optimizer) -> bool:
    """Whether all that its step decides by is on the device, so that the step can be recorded; torch is told so."""
    for group in optimizer.param_groups:
        if not isinstance(group["lr"], torch.Tensor):
            return False
        group["capturable"] = True  # and what a checkpoint says of it goes over what it was made with
    return True


def shown_rate(optimizer: torch.optim.Optimizer) -> float:
    """The learning rate as it counts now; Prodigy's own estimate is a factor of it."""
    group = optimizer.param_groups[0]
    rate = float(f"{float(group['lr']):.6g}")  # as it was set: a tensor holds it in fp32
    return rate * float(group.get("d", 1.0))
