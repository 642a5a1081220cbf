"""From numbers to findings: a table of symptoms, each with its threshold, its cause and what to do about it.

The thresholds are those of tests/bench/insight.py, which trains cases that are planted and good runs with the starter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from lora_gui.protocol.jobs import TrainJob
from lora_gui.studio.insight import mended
from lora_gui.studio.insight.finding import Finding, sorted_by_weight
from lora_gui.studio.insight.numbers import Numbers, Pair, near
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.status import RunStatus

FEW = 8  # pictures; with fewer what losses say is chance
TRACED, VARIED = 0.7, 0.8  # of a training picture's edges in drawings of captions; and of the base's spread over seeds
COPIED = 0.6  # of a training picture's edges, where something else was asked
NOTHING = 2.5  # of 255, mean change that is no effect
BLEEDS, TIED = 0.8, 0.5  # change without the word by that with it; share of different captions that keep a word apart
GONE, SOME_GONE = 1.1, 0.25  # unlike the base's drawing, from which it is another thing; share of them that may be
RECOLOURED = 60.0  # of 255, from which a background has another colour than was asked
OUT = 0.3  # share by which a look is beyond both the base's and that of the pictures where it is molten
WORSE = 1.0  # loss over that of step 0


@dataclass(frozen=True)
class Losses:
    """At fixed noise, over those of step 0: of unseen pictures by step, at the end of studied ones and of each."""

    unseen: dict[int, float] = field(default_factory=dict)
    studied: float | None = None
    pictures: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, status: RunStatus) -> Losses:
        measured = getattr(status, "measured", ())
        unseen = {one.step: one.unseen for one in measured if one.unseen is not None}
        if not measured:
            return cls()
        return cls(unseen, measured[-1].learnt, measured[-1].pictures)

    @property
    def last(self) -> float | None:
        return self.unseen[max(self.unseen)] if self.unseen else None


@dataclass(frozen=True)
class Case:
    """All that a run is judged by."""

    job: TrainJob
    numbers: Numbers
    losses: Losses


def findings(studio: Studio, case: Case) -> list[Finding]:
    """What is wrong with a run, the worst first, each with the settings that would mend it; of one cause only one."""
    found: dict[str, Finding] = {}
    for kind, judge in JUDGES.items():
        said = judge(case)
        if said and not found.keys() & EXPLAINED_BY.get(kind, set()):
            found[kind] = Finding(kind, *said, changes=mended.changes(studio, case.job, kind))
    return sorted_by_weight([*found.values()])


Said = tuple[str, str] | None  # what is wrong and why, what to do about it


def _molten(case: Case) -> Said:
    out = [name for name, told in case.numbers.looks.items() if _is_out(*told)]
    if not out:
        return None
    return (
        f"Its drawings are molten: their {' and '.join(out)} left what the base draws and what your pictures have.",
        "It learnt too fast: train again with a smaller learning rate, or draw with less strength.",
    )


def _no_effect(case: Case) -> Said:
    if case.numbers.effect >= NOTHING:
        return None
    return (
        "With the word and at full strength it draws nearly what the base draws.",
        "It learnt too little: train longer or faster.",
    )


def _by_heart(case: Case) -> Said:
    """The prompt that is drawn with several seeds, and the others of its captions, come out as its pictures."""
    numbers = case.numbers
    drawn = [*numbers.own, *(pair.learnt for pair in numbers.seeds)]
    if np.mean([near(one, numbers.pictures).traced for one in drawn]) < TRACED or numbers.variety > VARIED:
        return None
    few = len(numbers.pictures) < FEW
    return (
        f"It knows your pictures by heart: whatever the seed, it draws picture {numbers.nearest[0].number} again.",
        "It saw each too often: train fewer steps" + (", and with more than these few pictures." if few else "."),
    )


def _copying(case: Case) -> Said:
    pictures = case.numbers.pictures
    both = [(near(pair.base, pictures), near(pair.learnt, pictures)) for pair in case.numbers.asked]
    copies = [now for base, now in both if now.traced > COPIED > base.traced]
    if not copies:
        return None
    return (
        f"Asked for something else, it draws nearly your picture {copies[0].number}.",
        "Train fewer steps, or take out pictures that show nearly the same.",
    )


def _collapse(case: Case) -> Said:
    lost = [pair for pair in case.numbers.asked if pair.recoloured > RECOLOURED]
    if len(lost) > len(case.numbers.asked) / 2:
        return ("Asked colours do not survive: whatever is asked, the background is that of your pictures.",
                "Train fewer steps, and name the background in your captions.")  # fmt: skip
    return None


def _bleed(case: Case) -> Said:
    captions = [picture.caption.strip().casefold() for picture in case.job.pictures]
    varied = len(set(captions)) / len(captions)
    if case.numbers.bleed < BLEEDS or varied > TIED or case.numbers.effect < NOTHING:
        return None
    return (
        f"It shows without {case.job.trigger} as much as with it: your captions are nearly all the same, so nothing "
        "told it what belongs to the word.",
        "Write into each caption what else there is to see, then train again.",
    )


def _forgetting(case: Case) -> Said:
    gone = [pair for pair in case.numbers.plain if pair.unlike > GONE]
    if len(gone) <= SOME_GONE * len(case.numbers.plain):
        return None
    return (
        f"Without the word, too, things become others: {len(gone)} of {len(case.numbers.plain)} drawings that have "
        f"nothing to do with your pictures lost their shape, most of all '{worst(case.numbers.plain).prompt}'.",
        "Train slower, or draw with less strength.",
    )


JUDGES: dict[str, Callable[[Case], Said]] = {
    "molten": _molten,
    "no effect": _no_effect,
    "by heart": _by_heart,
    "copying": _copying,
    "collapse": _collapse,
    "bleed": _bleed,
    "forgetting": _forgetting,
}
# A finding is not told beside one that says the same more plainly.
EXPLAINED_BY = {"copying": {"by heart"}, "forgetting": {"molten"}, "bleed": {"molten"}, "collapse": {"molten"}}


def worst(pairs: Sequence[Pair]) -> Pair:
    return max(pairs, key=lambda pair: pair.unlike)


def praise(case: Case) -> str:
    """The one sentence of a run of which nothing is wrong."""
    goal = {"style": "look", "character": "character", "concept": "new thing"}.get(case.job.preset, "look")
    return f"It learnt the {goal} of your pictures, and still draws what you ask for."


def _is_out(now: float, base: float, pictures: float) -> bool:
    return now < min(base, pictures) * (1 - OUT) or now > max(base, pictures) * (1 + OUT)
