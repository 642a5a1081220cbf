"""The picture of each finding: few drawings side by side, labelled, in the run's own folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from lora_gui.studio.insight.finding import Finding
from lora_gui.studio.insight.measures import Picture
from lora_gui.studio.insight.numbers import Numbers
from lora_gui.studio.insight.verdicts import Case, worst
from lora_gui.studio.stacks.sheet import Sheet

BASE, YOURS = "base", "with your LoRA"
Rows = tuple[tuple[str, ...], tuple[str, ...], Sequence[Sequence[Picture]]]  # columns, rows, pictures row by row


def draw(home: Path, case: Case, found: Sequence[Finding]) -> list[Finding]:
    """Each finding with its picture, written into `home`; one that is told without a picture stays as it is."""
    told = []
    for finding in found:
        if finding.kind in SHOWS:
            name = f"{finding.kind.replace(' ', '-')}.png"
            _write(home / name, SHOWS[finding.kind](case.numbers), finding.says)
            finding = replace(finding, picture=name)
        told.append(finding)
    return told


def _write(path: Path, rows: Rows, says: str) -> None:
    columns, names, pictures = rows
    sheet = Sheet(columns, names, (256, 256))
    for row, each in enumerate(pictures):
        for column, picture in enumerate(each):
            if picture.path:
                sheet.put(row, column, picture.path)
    sheet.save(path, says)


def _copies(numbers: Numbers) -> Rows:
    """Up to three drawings, each beside the training picture that it is nearest to."""
    near = numbers.nearest[:3]
    rows = [(one.drawing, one.picture) for one in near]
    return ("drawn", "yours"), tuple(f"picture {one.number}" for one in near), rows


def _seeds(numbers: Numbers) -> Rows:
    seeds = numbers.seeds
    labels = tuple(f"seed {n}" for n in range(1, len(seeds) + 1))
    return labels, (BASE, YOURS), [[pair.base for pair in seeds], [pair.learnt for pair in seeds]]


def _bleed(numbers: Numbers) -> Rows:
    """The prompt that changes most without the word: without and with it, base and LoRA."""
    number = max(range(len(numbers.asked)), key=lambda n: numbers.plain[n].change)
    pairs = numbers.plain[number], numbers.asked[number]
    return (BASE, YOURS), ("without the word", "with the word"), [(pair.base, pair.learnt) for pair in pairs]


def _worst(numbers: Numbers) -> Rows:
    pair = worst(numbers.plain)
    return (BASE, YOURS), ("",), [(pair.base, pair.learnt)]


def _asked(numbers: Numbers) -> Rows:
    """Two prompts with the word."""
    return (BASE, YOURS), ("", ""), [(pair.base, pair.learnt) for pair in numbers.asked[:2]]


SHOWS: dict[str, Callable[[Numbers], Rows]] = {
    "copying": _copies,
    "by heart": _copies,
    "collapse": _seeds,
    "takes over": _bleed,
    "bleed": _bleed,
    "forgetting": _worst,
    "molten": _asked,
    "no effect": _asked,
}
