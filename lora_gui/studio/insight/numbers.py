"""The numbers of a run, measured of its sheets and its training pictures, each beside what it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lora_gui.errors import UserError
from lora_gui.studio.insight.measures import LOOK, Picture, change, spread, traced, unlike
from lora_gui.studio.stacks.grid import Grid


@dataclass(frozen=True)
class Pair:
    """A prompt drawn without and with the LoRA, from the same seed."""

    prompt: str
    base: Picture
    learnt: Picture

    @property
    def change(self) -> float:
        return change(self.base, self.learnt)

    @property
    def unlike(self) -> float:
        """How much of what was drawn where is another: 0 is the same, 1 has nothing in common."""
        return unlike(self.base, self.learnt)

    @property
    def recoloured(self) -> float:
        """How far the colour of the background went, of 255."""
        return float(np.abs(self.base.background - self.learnt.background).max())


@dataclass(frozen=True)
class Near:
    """A drawing and the training picture that is nearest to it."""

    drawing: Picture
    picture: Picture
    number: int  # of the picture, from 1
    traced: float  # 1 is the same line by line


@dataclass(frozen=True)
class Numbers:
    """`asked` with the word and `plain` without it are the same prompts first; `seeds` are one prompt's."""

    pictures: tuple[Picture, ...]
    asked: tuple[Pair, ...]
    plain: tuple[Pair, ...]
    seeds: tuple[Pair, ...]
    own: tuple[Picture, ...]  # its own captions, with the LoRA
    travels: tuple[tuple[Picture, ...], ...]  # of each asked prompt, all strengths
    steps: dict[int, tuple[Picture, ...]]  # by step, all strengths

    @property
    def effect(self) -> float:
        """Mean change that the LoRA makes where it is called."""
        return _mean(pair.change for pair in self.asked)

    @property
    def bleed(self) -> float:
        """Change without the word / change with it, same prompts and seeds."""
        return _mean(pair.change for pair in self.plain[: len(self.asked)]) / max(self.effect, 0.5)

    @property
    def variety(self) -> float:
        """How much seeds of one of its captions differ with the LoRA / without it."""
        base = spread([pair.base for pair in self.seeds])
        return spread([pair.learnt for pair in self.seeds]) / max(base, 0.5)

    @property
    def nearest(self) -> tuple[Near, ...]:
        """Of every drawing with the LoRA, the nearest training picture; the nearest of all first."""
        drawn = [*self.own, *(p.learnt for p in (*self.seeds, *self.asked))]
        return tuple(sorted((near(one, self.pictures) for one in drawn), key=lambda found: -found.traced))

    @property
    def looks(self) -> dict[str, tuple[float, float, float]]:
        """Of each part of LOOK the mean: of prompts that have nothing to do with the pictures drawn with the LoRA, of
        the same drawn by the base, and of the pictures."""
        each = [pair.learnt for pair in self.plain], [pair.base for pair in self.plain], self.pictures
        means = [np.mean([one.look for one in part], 0) for part in each]
        return {name: (float(means[0][n]), float(means[1][n]), float(means[2][n])) for n, name in enumerate(LOOK)}


def near(drawing: Picture, pictures: Sequence[Picture]) -> Near:
    """The training picture that a drawing is nearest to, also mirrored."""
    each = [traced(drawing, picture) for picture in pictures]
    number = int(np.argmax(each))
    return Near(drawing, pictures[number], number + 1, each[number])


def measured(grids: dict[str, Grid], pictures: Sequence[Picture]) -> Numbers:
    """Read all that was drawn. Raises UserError where a drawing is damaged, or was not drawn."""
    read = {name: _read(one) for name, one in grids.items()}
    strengths, plain, seeds = read["strengths"], read["plain"], read["seeds"]
    steps = {int(row): read["steps"][n] for n, row in enumerate(grids["steps"].rows.values)} if "steps" in grids else {}
    return Numbers(
        pictures=tuple(pictures),
        asked=_pairs(grids["strengths"], strengths),
        plain=_pairs(grids["plain"], plain),
        seeds=_pairs(grids["seeds"], seeds),
        own=tuple(row[0] for row in read.get("own", ())),
        travels=tuple(strengths),
        steps=steps,
    )


def _read(drawn: Grid) -> list[tuple[Picture, ...]]:
    """Row by row."""
    across = len(drawn.columns.values)
    found = [Picture.read(cell.drawing) for cell in drawn.cells if cell.drawing]
    if len(found) < len(drawn.cells):
        raise UserError("Not all of it was drawn, so nothing can be told.", "Look again.")
    return [tuple(found[n : n + across]) for n in range(0, len(found), across)]


def _pairs(drawn: Grid, rows: list[tuple[Picture, ...]]) -> tuple[Pair, ...]:
    across = len(drawn.columns.values)
    return tuple(Pair(drawn.cells[n * across].settings.prompt, row[0], row[-1]) for n, row in enumerate(rows))


def _mean(values: object) -> float:
    return float(np.mean([*values]))  # type: ignore[misc]
