"""What the measures of a run say in words: whether it learnt, what it knows by heart, and what taught it nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from lora_gui.protocol.events import Measured

# Shares of the base's loss, between what tests/bench/insight.py has of good runs and of spoilt ones.
_TURNED = 0.5  # by which pictures kept back are further off than they were: 0.45 in a good run, which draws on better
_WORSE = 1.5  # nothing holds, the base was damaged; at 1.36 judges still found a run good
_BY_HEART = 0.2  # is left: more than a likeness; 0.26 in a good run
_WELL = 0.35  # is left of runs that were too long, 0.48 of one too fast
_NOTHING, _MUCH = 0.97, 0.85  # what is left of a picture's loss where it taught nothing, and half of them much


def said(measured: Sequence[Measured], called: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Sentences worth reading of a run that ended; none of a good one, or where there is too little to tell by.

    `called` is what the user calls each picture, by the name of its file; one that is not in it goes by its number.
    """
    if len(measured) < 2 or not measured[-1].step:
        return ()
    last = measured[-1]
    if further := damage(measured):
        return (f"It is {100 * further:.0f} % further from such pictures than the base was: "
                "the learning rate was too high.",)  # fmt: skip
    return tuple(filter(None, (_by_heart(measured), _taught_nothing(last, called or {}))))


def damage(measured: Sequence[Measured]) -> float:
    """By how much of the base's loss a run ended further from pictures than the base; 0 where that may be chance.

    Of a run that learnt its pictures well others tell only how much it knows those by heart.
    """
    if not measured or not measured[-1].step:
        return 0.0
    learnt, unseen = measured[-1].learnt, measured[-1].unseen or 0.0
    worse = max(learnt, unseen if learnt > _WELL else 0.0)
    return worse - 1 if worse >= _WORSE else 0.0


def best_step(measured: Sequence[Measured]) -> int:
    """The step after which pictures kept back were nearest; 0 where none were kept back."""
    unseen = [(one.unseen, one.step) for one in measured if one.unseen is not None and one.step]
    return min(unseen)[1] if unseen else 0


def turned(measured: Sequence[Measured]) -> float:
    """By how much of the base's loss pictures kept back are further off than they were; 0 where that is no sign.

    It is none where the base was damaged, nor where the learnt ones came no nearer since.
    """
    if damage(measured) or not best_step(measured):
        return 0.0
    last, best = measured[-1], next(one for one in measured if one.step == best_step(measured))
    further = (last.unseen or 0.0) - (best.unseen or 0.0)
    return further if further >= _TURNED and last.learnt < best.learnt else 0.0


def _by_heart(measured: Sequence[Measured]) -> str:
    mends = "Train fewer steps, or with more pictures."
    if further := turned(measured):
        return (
            f"Pictures that were kept back were nearest after step {best_step(measured):,} and are "
            f"{100 * further:.0f} % further off now: it seems to know the others by heart. {mends}"
        )
    if measured[-1].unseen is None and measured[-1].learnt <= _BY_HEART:
        return f"It seems to know your pictures by heart. {mends}"
    return ""


def _taught_nothing(last: Measured, called: Mapping[str, str]) -> str:
    if len(last.pictures) < 4 or median(last.pictures.values()) > _MUCH:
        return ""
    files = sorted(name for name, left in last.pictures.items() if left >= _NOTHING)
    names = [called.get(name) or f"Picture {Path(name).stem.lstrip('0')}" for name in files]
    if not names:
        return ""
    told = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return f"{told} taught it next to nothing: look whether picture and caption belong to the others."
