"""Whether LoRAs will get in each other's way, told by their factors alone, and strengths that balance them.

The cosine of two updates is taken over all layers that both change, so that a layer counts by how much is changed in
it. No threshold of it is a verdict: LoRAs whose updates are orthogonal do not make better drawings for that
(arXiv 2510.03262), so all is said softly, and the drawings decide. Nor do sizes say which is seen more where LoRAs
change different layers: strengths that made a style and a thing of the starter as large as each other lost the style
(tests/bench/presets.py), so none are proposed there.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from lora_gui import families
from lora_gui.errors import UserError
from lora_gui.formats.factors import Factors, fits, inner, read_factors
from lora_gui.formats.strengths import group_of
from lora_gui.studio.things.loras import of_one_family

FULL, LEAST, STEP = 0.8, 0.1, 0.05  # of proposed strengths: the usual first one, the smallest, and how they are rounded
# cosine from which on, what it says of two LoRAs
WORDS = (
    (0.5, "{a} and {b} change the same layers in the same way: that may be too much, so begin with half of each."),
    (0.15, "{a} and {b} lean the same way in places: a little less of each is a good beginning."),
    (-0.15, "{a} and {b} hardly touch each other."),
    (-0.5, "{a} and {b} pull apart in places: one may take something from the other."),
    (-math.inf, "{a} and {b} pull the same layers in opposite ways: expect one to undo the other."),
)  # fmt: skip
APART = "{a} and {b} change different layers; what one draws may still be lost beside the other."
Shared = dict[str, tuple[float, float, float]]  # of layers that two change: inner product and both squared norms
LARGER = 2.0  # times another's size, from which that is what goes wrong most often
UNLIKE = 1.2  # times another's size, from which they are not about as large
COMMON = 0.5  # share of the squared norm of each that lies in layers of both, from which their sizes can be compared
UNCOMPARED = "Where layers differ, sizes do not tell which is seen more: drawings do."


@dataclass(frozen=True)
class Pair:
    """Two LoRAs. `cosine` is of their updates over the `shared` layers, `worst` the layer that adds most to it."""

    a: str
    b: str
    cosine: float
    shared: int
    worst: str
    sentence: str


@dataclass(frozen=True)
class Fight:
    """`norms` are those of the whole updates at strength 1, `groups` each group's share of the squared norm."""

    names: tuple[str, ...]
    matrix: tuple[tuple[float, ...], ...]
    pairs: tuple[Pair, ...]
    norms: tuple[float, ...]
    groups: tuple[dict[str, float], ...]
    balance: tuple[float, ...]  # strengths proposed; empty where sizes cannot be compared
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def fight(paths: list[Path]) -> Fight:
    """Compare LoRAs. Raises UserError where there are not two, they are of several families, or one has no factors."""
    if len(paths) < 2:
        raise UserError("One LoRA alone has nothing to be compared with.", "Name two or more.")
    known = of_one_family(paths, "compared")
    names, facts = tuple(one.name for one in known), families.facts_of(known[0].family)
    read = {one.path: read_factors(one.path, facts, one.dialect) for one in dict.fromkeys(known)}
    squared, shared = _sums([read[one.path][0] for one in known])
    norms = tuple(math.sqrt(sum(one.values())) for one in squared)
    notes = [f"{one.name} is a DoRA; only its low-rank part is compared." for one in known if read[one.path][1]]
    for name, norm in zip(names, norms, strict=True):
        if not math.isfinite(norm):
            raise UserError(f"Some values of {name} are not numbers, so it would spoil every drawing.", "Leave it out.")
        if norm == 0:
            notes.append(f"{name} changes nothing.")
    pairs = {(i, j): _pair(names[i], names[j], found) for (i, j), found in shared.items()}
    matrix = tuple(
        tuple(1.0 if i == j else pairs[min(i, j), max(i, j)].cosine for j in range(len(names)))
        for i in range(len(names))
    )
    alike = all(_comparable(found, norms[i], norms[j]) for (i, j), found in shared.items())
    notes += filter(None, [_sizes(names, norms) if alike else UNCOMPARED])
    balance = balanced(norms) if alike else ()
    return Fight(names, matrix, tuple(pairs.values()), norms, tuple(map(_shares, squared)), balance, tuple(notes))


def balanced(norms: tuple[float, ...]) -> tuple[float, ...]:
    """Strengths at which all LoRAs change the base by as much; the smallest of them is used at the usual strength."""
    least = min((norm for norm in norms if norm > 0), default=0.0)
    return tuple(
        FULL if norm == 0 else max(LEAST, round(round(FULL * least / norm / STEP) * STEP, 2)) for norm in norms
    )


def _sums(factors: list[Factors]) -> tuple[list[dict[str, float]], dict[tuple[int, int], Shared]]:
    """Squared norms of each LoRA by group, and what each two share; one layer of each is in memory at a time."""
    squared = [defaultdict[str, float](float) for _ in factors]
    shared: dict[tuple[int, int], Shared] = {pair: {} for pair in combinations(range(len(factors)), 2)}
    for name in dict.fromkeys(name for one in factors for name in one):
        there = {number: one[name] for number, one in enumerate(factors) if name in one}
        for number, one in there.items():
            squared[number][group_of(name)] += one.norm**2
        for i, j in combinations(there, 2):
            if fits(there[i], there[j]):
                shared[i, j][name] = (inner(there[i], there[j]), there[i].norm ** 2, there[j].norm ** 2)
    return [dict(one) for one in squared], shared


def _shares(squared: dict[str, float]) -> dict[str, float]:
    total = sum(squared.values()) or 1.0
    return {group: round(value / total, 3) for group, value in squared.items()}


def _pair(a: str, b: str, shared: Shared) -> Pair:
    products, ones, twos = zip(*shared.values(), strict=True) if shared else ((), (), ())
    size = math.sqrt(sum(ones) * sum(twos))
    cosine = sum(products) / size if size else 0.0
    words = next(words for least, words in WORDS if cosine >= least) if size else APART
    worst = max(shared, key=lambda name: abs(shared[name][0])) if size else ""
    return Pair(a, b, round(cosine, 4), len(shared), worst, words.format(a=a, b=b))


def _comparable(shared: Shared, *norms: float) -> bool:
    """Whether enough of two updates of these norms is in layers of both; one that is nothing is not in the way."""
    common = [sum(found[which] for found in shared.values()) for which in (1, 2)]
    return 0 in norms or all(part >= COMMON * norm**2 for part, norm in zip(common, norms, strict=True))


def _sizes(names: tuple[str, ...], norms: tuple[float, ...]) -> str:
    """A sentence where one LoRA changes more than another, which is why strengths are proposed that balance them."""
    there = [(norm, name) for norm, name in zip(norms, names, strict=True) if norm > 0]
    if len(there) < 2 or (times := max(there)[0] / min(there)[0]) < UNLIKE:
        return ""
    first = ": balance them first" if times >= LARGER else ""
    return f"{max(there)[1]} changes the base {times:.1f} times as much as {min(there)[1]}{first}."
