"""The best checkpoint and the best strength of a run, proposed with evidence, and put among the LoRAs."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.formats import edit
from lora_gui.formats.metadata import THUMBNAIL, edited
from lora_gui.studio.insight.measures import Picture
from lora_gui.studio.insight.numbers import Numbers
from lora_gui.studio.insight.sheets import STRENGTHS
from lora_gui.studio.library import changes, shelf, versions
from lora_gui.studio.library.shelf import Card
from lora_gui.studio.paths import Studio
from lora_gui.studio.stacks.grid import RECORD
from lora_gui.studio.tasks.run import Run
from lora_gui.studio.things.drawings import pixels

ARRIVED = 0.9  # share of the way that a look comes at best, with which the smallest strength is taken
LITTLE = 0.1  # of the way from the base to the pictures; less is no evidence for any strength
COVER = 256  # px
AS_LEARNT = "Strength 1 is as it was learnt."
# kinds of findings that an earlier step has less of
TOO_FAR = {"by heart", "copying", "collapse", "molten", "takes over"}


@dataclass(frozen=True)
class Best:
    step: int
    strength: float
    says: str
    picture: str = ""  # drawn so, among what was drawn of the run


def best(numbers: Numbers, goal: str, last: int, unseen: dict[int, float], found: Collection[str]) -> Best:
    """Of a run that ended at step `last`; `unseen` is by step the loss of pictures that were kept back, over step 0's.

    What was `found` of it decides too: of one that went too far an earlier step that is kept is proposed, and of a
    molten one the least strength. Only of a look, the `goal` style, do drawings of other things tell how much of it
    there is at each strength.
    """
    step, why = _step(numbers, last, unseen, bool(TOO_FAR & {*found}))
    rows = [numbers.steps[step]] if step != last and step in numbers.steps else numbers.travels
    if "molten" in found:
        strength, because = STRENGTHS[1], f"It is molten, and least so at strength {STRENGTHS[1]:g}."
    elif goal != "style":
        strength, because = STRENGTHS[-1], AS_LEARNT
    else:
        ways = np.mean([_ways(row, numbers.pictures) for row in rows], 0)
        strength, because = _strength([float(way) for way in ways])
    shown = rows[0][STRENGTHS.index(strength)].path
    picture = f"{shown.parent.name}/{shown.name}" if shown else ""
    return Best(step, strength, f"{why} {because}".strip(), picture)


def at_full_strength(run: Run, step: int) -> Best:
    """One of the steps that are kept, as the user chose it; with what was drawn so, if it was."""
    said = files.read_json(run.files.insight / "steps" / RECORD)
    cells = said.get("cells", []) if isinstance(said, dict) else []
    drawn = [str(one.get("drawing")) for one in cells if one.get("row") == str(step)]
    return Best(step, STRENGTHS[-1], "", f"steps/{Path(drawn[-1]).name}" if drawn else "")


def keep(studio: Studio, run: Run, chosen: Best) -> Path:
    """Put the chosen step among the LoRAs, with trigger word, strength and cover in its file; its path.

    What the run ended with is there already and is told so. Raises UserError where it cannot be.
    """
    found = shelf.shelf(studio)
    card = _card(studio, run, found)
    there = {one.step: one.path for one in versions.versions(studio, card, found)}
    is_card = chosen.step == (card.notes.step or run.status().step)
    path = there.get(chosen.step) or (card.path if is_card else versions.put_into_use(studio, card, chosen.step))
    now = edit.metadata(path)
    title, text = now.get("modelspec.title", ""), now.get("modelspec.description", "")
    said = edited(now, title, run.job.trigger, chosen.strength, text)
    cover = run.files.insight / chosen.picture
    changes.write(studio, path, said | ({THUMBNAIL: _cover(cover)} if cover.is_file() else {}))
    return path


def _card(studio: Studio, run: Run, found: shelf.Shelf) -> Card:
    cards = [one for one in found.cards if one.run == run.folder.name]
    if not cards:
        raise UserError("The LoRA of this run is not among yours any more.", "Resume the run, or train it again.")
    return min(cards, key=lambda one: one.notes.step > 0)  # what it ended with, if that is there


def _step(numbers: Numbers, last: int, unseen: dict[int, float], too_far: bool) -> tuple[int, str]:
    """Which of the steps that are kept, and why.

    How near it comes to pictures that were kept back tells only which step of one that went too far: it turns long
    before a look has come out (tests/bench/proposals.py).
    """
    kept = sorted({*numbers.steps, last})
    if len(kept) < 2:
        return last, ""
    if not too_far:
        return last, f"Step {last} shows it best."
    told = {step: unseen[min(unseen, key=lambda one: abs(one - step))] for step in kept if unseen}
    if not told:
        return kept[0], f"Step {kept[0]} is the earliest that was kept, and went less far."
    step = min(told, key=lambda one: told[one])
    return step, f"Of the steps that were kept, {step} came nearest to the pictures that were kept back."


def _strength(ways: Sequence[float]) -> tuple[float, str]:
    """By how far each of STRENGTHS goes from the base to the pictures."""
    top = max(ways)
    if top < LITTLE:
        return STRENGTHS[-1], AS_LEARNT
    strength = next(one for one, way in zip(STRENGTHS, ways, strict=True) if way >= ARRIVED * top)
    if strength == STRENGTHS[-1]:
        return strength, "The look of your pictures comes out fully at strength 1."
    return strength, f"At strength {strength:g} the look of your pictures is there, and more adds little."


def _ways(row: Sequence[Picture], pictures: Sequence[Picture]) -> list[float]:
    """How far each drawing of a row has come from the first one's look to that of the pictures: 0 not at all, 1 there.

    The looks are told in spreads of those of the pictures.
    """
    looks = np.array([one.look for one in pictures])
    middle, scale = looks.mean(0), looks.std(0) + 0.05 * np.abs(looks.mean(0)) + 0.5

    def far(picture: Picture) -> float:
        return float(np.sqrt((((picture.look - middle) / scale) ** 2).mean()))

    begun = max(far(row[0]), 1e-6)
    return [1 - far(one) / begun for one in row]


def _cover(picture: Path) -> str:
    """One of our own drawings, small, as a data address."""
    small = pixels(picture)
    small.thumbnail((COVER, COVER), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    small.save(data, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"
