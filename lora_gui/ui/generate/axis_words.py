"""What a grid can change, in words: names, hints, values that are offered, and what is typed; knows no component."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from lora_gui.errors import UserError
from lora_gui.settings import DrawSettings, check
from lora_gui.studio.library.shelf import shelf
from lora_gui.studio.library.versions import versions
from lora_gui.studio.paths import Studio
from lora_gui.studio.stacks import axes, grid
from lora_gui.studio.stacks.axes import AXES, NONE, Axis
from lora_gui.ui.draft import DrawDraft
from lora_gui.ui.generate import stack
from lora_gui.ui.widgets import markup

NOTHING = ""
TITLES = {NOTHING: "Nothing", **{kind: kind.capitalize() for kind in AXES}, "second": "Strength of the second",
          "lora": "LoRA", "words": "Prompt words"}  # fmt: skip
HINTS = {
    "strength": "Strength is that of the first LoRA in your stack.",
    "second": "Second is the strength of the second LoRA in your stack.",
    "checkpoint": "Checkpoints are steps of the run that made your first LoRA, or names of its versions.",
    "lora": f"LoRAs take the place of the first in your stack; {NONE} leaves it out.",
    "words": "The first words stand in your prompt and are replaced by each of the others: red fox | blue owl.",
}
NEEDS = {"strength": 1, "checkpoint": 1, "second": 2}  # LoRAs in the stack
STRENGTHS = 0.7, 1.0, 1.3  # of each of two, to see what shows both
SIDES = ("rows", "columns")
USUAL: dict[str, Any] = {
    "rows_kind": NOTHING, "rows": "", "columns_kind": "strength", "columns": "0, 0.4, 0.8, 1",
    "travel_first": 0, "travel_last": 1, "travel_stations": 10,
}  # fmt: skip
FIELDS = tuple(USUAL)  # by their names in the draft


def typed(draft: DrawDraft) -> dict[str, Any]:
    """What stands in the fields."""
    return {name: usual if draft.desk.get(name) is None else draft.desk[name] for name, usual in USUAL.items()}


def filled(studio: Studio, before: DrawDraft, after: DrawDraft) -> DrawDraft:
    """`after` with values offered where another thing is to change and none of the user's own were typed."""
    old, new, desk = typed(before), typed(after), dict(after.desk)
    for side in SIDES:
        kind = f"{side}_kind"
        is_own = str(old[side]).strip() not in ("", str(USUAL[side]), _offered(studio, before, str(old[kind])))
        if new[kind] != old[kind] and new[side] == old[side] and not is_own:
            desk[side] = _offered(studio, after, str(new[kind]))
    return replace(after, desk=desk) if desk != after.desk else after


def read(draft: DrawDraft, side: str) -> Axis:
    """One side of the grid. Raises UserError where it cannot be."""
    said = typed(draft)
    kind = str(said[f"{side}_kind"])
    return axes.of(kind, str(said[side])) if kind else grid.ONE


def of_two(settings: DrawSettings) -> tuple[Axis, Axis]:
    """The first two LoRAs of the stack at several strengths each; one that takes something away goes on doing so.

    Raises UserError where there are not two."""
    if len(settings.stack) < NEEDS["second"]:
        raise UserError("There are not two LoRAs in your stack.", "Put a second one into it.")
    first, second = (
        tuple(f"{-value if entry.strength < 0 else value:g}" for value in STRENGTHS) for entry in settings.stack[:2]
    )
    return Axis("strength", first), Axis("second", second)


def told(studio: Studio, draft: DrawDraft) -> str:
    """How many drawings it will be, or what is wrong, and what has to be known."""
    try:
        rows, columns = (read(draft, side) for side in SIDES)
        count = grid.count(rows, columns)
        for axis in (rows, columns):
            _try(studio, draft, axis)
    except UserError as error:
        return markup.quiet(f"{error.what} {error.remedy}")
    if not (rows.kind or columns.kind):
        return markup.quiet("Choose what changes from row to row or from column to column.")
    sizes = f"{len(rows.values)} × {len(columns.values)}: " if rows.kind and columns.kind else ""
    hints = [HINTS[kind] for kind in dict.fromkeys((rows.kind, columns.kind)) if kind in HINTS]
    return markup.quiet(" ".join([f"{sizes}{markup.counted(count, 'drawing')}.", *hints]))


def _try(studio: Studio, draft: DrawDraft, axis: Axis) -> None:
    """Raises UserError for the first value that cannot be drawn; the other settings are judged at their own fields."""
    settings = check(DrawSettings, {"stack": stack.settings(draft.stack)}).model_copy(update={"prompt": draft.prompt})
    for value in axis.values if axis.kind else ():
        try:
            axis.applied(settings, value, studio)
        except UserError as error:
            lacks_lora = len(settings.stack) < NEEDS.get(axis.kind, 0)  # whatever the value
            is_named = lacks_lora or value in f"{error.what} {error.remedy}"
            raise UserError(error.what if is_named else f"{axis.label(value)}: {error.what}", error.remedy) from None


def _offered(studio: Studio, draft: DrawDraft, kind: str) -> str:
    return OFFERS[kind](studio, draft) if kind in OFFERS else ""


def _seeds(studio: Studio, draft: DrawDraft) -> str:
    first = draft.seed if isinstance(draft.seed, int) and draft.seed >= 0 else 1
    return ", ".join(str(first + n) for n in range(4))


def _words(studio: Studio, draft: DrawDraft) -> str:
    return f"{draft.prompt.split()[-1]} | " if draft.prompt.strip() else ""


def _loras(studio: Studio, draft: DrawDraft) -> str:
    """Those of the stack, or all there are; names with commas are parted otherwise."""
    names = [Path(entry.lora).stem for entry in draft.stack if entry.lora]
    names = names if len(names) > 1 else [card.name for card in shelf(studio).cards if card.info][:4]
    mark = " | " if any("," in name for name in names) else ", "
    return mark.join([NONE, *dict.fromkeys(names)])


def _checkpoints(studio: Studio, draft: DrawDraft) -> str:
    """The steps of the versions that the first LoRA's run left."""
    cards = shelf(studio)
    card = next((cards.find(Path(entry.lora)) for entry in draft.stack if entry.lora), None)
    steps = [version.step for version in versions(studio, card, cards)] if card else []
    return ", ".join(map(str, sorted(steps)))


OFFERS: dict[str, Callable[[Studio, DrawDraft], str]] = {
    "strength": lambda studio, draft: "0, 0.4, 0.8, 1",
    "second": lambda studio, draft: "0, 0.4, 0.8, 1",
    "steps": lambda studio, draft: "10, 20, 30",
    "guidance": lambda studio, draft: "3, 5, 8",
    "sampler": lambda studio, draft: "Euler, Euler a, DPM++ 2M",
    "seed": _seeds,
    "words": _words,
    "lora": _loras,
    "checkpoint": _checkpoints,
}
