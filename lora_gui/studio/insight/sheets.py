"""The sheets of drawings by which a run is told: few prompts, fixed seeds, the base in the first column."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lora_gui import families
from lora_gui.errors import UserError
from lora_gui.protocol.jobs import TrainJob
from lora_gui.protocol.learnt import filled_in, with_trigger
from lora_gui.protocol.task_folder import ADAPTER, MANIFEST, step_of
from lora_gui.settings import DrawSettings, StackEntry, check
from lora_gui.studio.paths import Studio
from lora_gui.studio.stacks import grid
from lora_gui.studio.stacks.axes import Axis
from lora_gui.studio.stacks.grid import Grid
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.studio.tasks.run import Run
from lora_gui.studio.things import bases

MOST_STEPS = 12  # as many as the samples of a run take at most
SEED, SEEDS = 11, 4  # the first of each sheet; of the one prompt that is drawn again and again
# What any base draws, one thing on one plain colour: a colour that was asked for can be measured.
THINGS = (
    ("frog", "pink"), ("pineapple", "blue"), ("owl", "yellow"), ("tractor", "green"), ("mushroom", "purple"),
    ("dolphin", "orange"), ("cupcake", "grey"), ("guitar", "red"), ("snail", "blue"), ("lemon", "purple"),
    ("robot", "yellow"), ("umbrella", "green"), ("banana", "pink"), ("violin", "grey"), ("crab", "white"),
    ("pumpkin", "blue"),
)  # fmt: skip
UNRELATED, NEW, OWN = 8, 4, 4  # prompts: without the word, of these with it too, and captions of its own pictures
STRENGTHS = (0.0, 0.4, 0.7, 1.0)
_COLOURS = {colour for _, colour in THINGS}
_SIGNS = re.compile(r"[<>{}|()\[\]]|__|\bBREAK\b|\bAND\b")


@dataclass(frozen=True)
class Sheets:
    """What is drawn of a run: `strengths` of prompts with the word, `plain` ones without it, `seeds` of one of its own
    captions, `own` the others, and `steps` that it kept."""

    grids: dict[str, Grid]

    @property
    def of(self) -> int:
        return sum(len(one.cells) for one in self.grids.values())

    @property
    def drawn(self) -> int:
        return sum(len(one.drawn) for one in self.grids.values())


def unrelated(captions: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Eight things that stand in none of the captions, with the colours behind them; the same for every such set."""
    said = set(re.findall(r"\w+", " ".join(captions).casefold())) - _COLOURS
    fresh = [one for one in THINGS if one[0] not in said]
    return tuple((fresh + [one for one in THINGS if one not in fresh])[:UNRELATED])


def prompt(thing: str, colour: str) -> str:
    return f"{thing} on a {colour} background"


def learnt(run: Run) -> Path:
    """The file with what a run has learnt. Raises UserError where there is none any more."""
    made = run.status().lora
    if made and Path(made).is_file():
        return Path(made)
    if kept := run.checkpoint():
        return kept / ADAPTER
    raise UserError("What this run has learnt is not on this computer any more.", "Train it again.")


def kept_steps(run: Run) -> list[int]:
    """The steps whose LoRA is kept, in order."""
    return sorted(step_of(one.parent) for one in run.files.checkpoints.glob(f"ckpt-*[0-9]/{MANIFEST}"))


def plan(studio: Studio, run: Run, home: Path) -> Sheets:
    """What is drawn of a run into folders of `home`. Raises UserError where its base or its LoRA cannot be used."""
    job = run.job
    chosen = unrelated(tuple(picture.caption for picture in job.pictures))
    plain = tuple(prompt(*one) for one in chosen)
    new = tuple(f"{job.trigger} {one}" for one in plain[:NEW])
    own = captions(job)
    settings = _settings(job, learnt(run))
    whole = Axis("strength", tuple(f"{one:g}" for one in STRENGTHS))
    ends, seeds = Axis("strength", ("0", "1")), Axis("seed", tuple(str(SEED + n) for n in range(SEEDS)))
    asked = {
        "strengths": (new[0], _words(new), whole),
        "plain": (plain[0], _words(plain), ends),
        "seeds": (own[0], seeds, ends),
    }
    if own[1:]:
        asked["own"] = (own[1], _words(own[1:]), Axis("strength", ("1",)))
    grids = {
        name: replace(
            grid.plan(studio, job.base, settings.model_copy(update={"prompt": text}), rows, columns),
            folder=home / name,
        )
        for name, (text, rows, columns) in asked.items()
    }
    if kept := steps_sheet(studio, run, settings.model_copy(update={"prompt": new[0]})):
        grids["steps"] = replace(kept, folder=home / "steps")
    return Sheets(grids)


def steps_sheet(studio: Studio, run: Run, settings: DrawSettings) -> Grid | None:
    """Kept step by strength, on one seed, the base in column 0; None where one step alone is kept."""
    steps = kept_steps(run)
    if len(steps) < 2:
        return None
    rows = Axis("step", tuple(map(str, steps)))
    columns = Axis("strength", tuple(f"{one:g}" for one in STRENGTHS))
    one_row = grid.plan(studio, run.job.base, settings, columns=columns)
    cells = []
    for row, step in enumerate(steps):
        for cell in one_row.cells:
            entry = settings.stack[0].model_copy(
                update={"lora": str(run.files.checkpoint(step) / ADAPTER), "strength": cell.settings.stack[0].strength}
            )
            cells.append(replace(cell, row=row, settings=cell.settings.model_copy(update={"stack": (entry,)})))
    return replace(one_row, rows=rows, cells=tuple(cells))


def captions(job: TrainJob) -> tuple[str, ...]:
    """Captions from all over the set, each with the trigger word, without signs that mean something in prompts."""
    plain = (_SIGNS.sub(" ", filled_in(job.trigger, picture.caption)) for picture in job.pictures)
    said = list(dict.fromkeys(with_trigger(job.trigger, one) for one in plain))
    return tuple(dict.fromkeys(said[n * len(said) // OWN] for n in range(OWN)))


def draw(drawer: Drawer, sheets: Sheets, is_stopped: Callable[[], bool], **order: Any) -> Iterator[Sheets]:
    """Draw all of it, sheet by sheet; the sheets whenever something is drawn. Once `is_stopped` what there is stays."""
    for name in sheets.grids:
        for now in grid.draw(drawer, sheets.grids[name], is_stopped, **order):
            if now.drawn != sheets.grids[name].drawn or now.stopped:
                sheets = replace(sheets, grids=sheets.grids | {name: now})
                yield sheets
        if is_stopped():
            return


def _words(values: tuple[str, ...]) -> Axis:
    return Axis("words", values) if len(values) > 1 else Axis("", ("",))


def _settings(job: TrainJob, lora: Path) -> DrawSettings:
    """As the samples of a run are drawn, in few steps: at most as large as it was trained, as far as its base draws
    that."""
    usual = check(DrawSettings, bases.draw_defaults(job.base))
    side, facts = job.settings.side_of_samples(usual.width), families.facts_of(job.base.family)
    side = max(facts.least_side, side // facts.size_step * facts.size_step)
    return usual.model_copy(
        update={
            "width": side, "height": side, "steps": min(usual.steps, MOST_STEPS), "seed": SEED, "count": 1,
            "stack": (StackEntry(lora=str(lora), strength=1.0),), "prediction": job.settings.prediction,
        }
    )  # fmt: skip
