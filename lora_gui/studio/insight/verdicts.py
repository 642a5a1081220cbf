"""From numbers to findings: a table of symptoms, each with its threshold, its cause and what to do about it.

The thresholds are those of tests/bench/insight.py, which trains cases that are planted and good runs with the starter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lora_gui.protocol.events import Measured
from lora_gui.protocol.jobs import TrainJob
from lora_gui.studio.insight import mended
from lora_gui.studio.insight.finding import Finding, sorted_by_weight
from lora_gui.studio.insight.numbers import Numbers, Pair, near
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import learning

FEW = 10  # pictures; of fewer none are kept back while they are learnt, whose losses could tell
TRACED, VARIED = 0.8, 0.8  # of a training picture's edges in drawings of captions; and of the base's spread over seeds
COPIED = 0.6  # of a training picture's edges, where something else was asked
NOTHING = 2.5  # of 255, mean change that is no effect
BLEEDS, TIED = 0.8, 0.5  # change without the word by that with it; share of different captions that keep a word apart
TAKEN = 0.52  # mean of how unlike the base's they are, from which drawings of other things are taken over by a subject
GONE, SOME_GONE = 1.1, 0.25  # unlike the base's drawing, from which it is another thing; share of them that may be
RECOLOURED = 60.0  # of 255, from which a background has another colour than was asked
# Of the smaller and the larger of the base's and the pictures' own: below and above, a look is molten.
LIMITS = {"saturation": (0.6, 1.35), "contrast": (0.75, 1.35), "detail": (0.5, 1.5), "lightness": (0.65, 1.35)}


@dataclass(frozen=True)
class Case:
    """All that a run is judged by."""

    job: TrainJob
    numbers: Numbers
    measured: tuple[Measured, ...] = ()  # losses at fixed noise, over those of step 0


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
    out = [name for name, told in case.numbers.looks.items() if _is_out(*told, *LIMITS[name])]
    if further := learning.damage(case.measured):
        return (
            f"It is {100 * further:.0f} % further from such pictures than the base was: it learnt too fast, and melts.",
            "Train again with a smaller learning rate, or draw with less strength.",
        )
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
    """The prompt drawn with several seeds and the captions come out as its pictures, or ones kept back turn away."""
    numbers = case.numbers
    why = "It saw each too often: train fewer steps"
    why += ", and with more than these few pictures." if len(numbers.pictures) < FEW else "."
    drawn = [*numbers.own, *(pair.learnt for pair in numbers.seeds)]
    if np.mean([near(one, numbers.pictures).traced for one in drawn]) >= TRACED and numbers.variety <= VARIED:
        again = f"whatever the seed, it draws picture {numbers.nearest[0].number} again"
    elif further := learning.turned(case.measured):
        step = learning.best_step(case.measured)
        again = f"from those that were kept back it is {100 * further:.0f} % further than it was after step {step:,}"
    else:
        return None
    return f"It knows your pictures by heart: {again}.", why


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
    written = [caption for caption in captions if caption]
    because, remedy = "your captions are nearly all the same", "Write into each caption what else there is to see"
    if 2 * len(written) < len(captions) or len(set(written)) > TIED * len(written):
        because = f"{len(captions) - len(written)} of {len(captions)} pictures have no caption"
        remedy = "Write one for each picture, with what else there is to see"
    return (
        f"It shows without {case.job.trigger} as much as with it: {because}, so nothing told it what belongs to the "
        "word.",
        f"{remedy}, then train again.",
    )


def _takes_over(case: Case) -> Said:
    """Of a subject: a look may well show in all that is drawn."""
    others, word = case.numbers.plain, case.job.trigger
    is_much = np.mean([pair.unlike for pair in others]) > TAKEN
    if case.job.preset == "style" or not is_much or case.numbers.bleed < BLEEDS:
        return None
    return (
        f"It takes over all that is drawn, also without {word}, most of all '{worst(others).prompt}'.",
        "It learnt too fast: train again with a smaller learning rate, or draw with less strength.",
    )


def _too_few(case: Case) -> Said:
    """Losses, of few pictures, are chance; drawings are told by all the same."""
    count = len(case.job.pictures)
    if count >= FEW or not case.measured:
        return None
    few = f"{count} pictures are" if count > 1 else "One picture is"
    return (
        f"{few} too few for losses to tell whether it learnt more than that.",
        "Go by the drawings; of ten or more some are kept back, and their losses tell, too.",
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
    "takes over": _takes_over,
    "forgetting": _forgetting,
    "too few": _too_few,
}
# A finding is not told beside one that says the same more plainly.
EXPLAINED_BY = {
    "copying": {"by heart"}, "collapse": {"molten"}, "bleed": {"molten"}, "takes over": {"molten", "bleed"},
    "forgetting": {"molten", "takes over"},
}  # fmt: skip


def worst(pairs: Sequence[Pair]) -> Pair:
    return max(pairs, key=lambda pair: pair.unlike)


def praise(case: Case) -> str:
    """The one sentence of a run of which nothing is wrong."""
    goal = {"style": "look", "character": "character", "concept": "new thing"}.get(case.job.preset, "look")
    return f"It learnt the {goal} of your pictures, and still draws what you ask for."


def _is_out(now: float, base: float, pictures: float, least: float, most: float) -> bool:
    return now < min(base, pictures) * least or now > max(base, pictures) * most
