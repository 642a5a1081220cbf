"""What a grid of drawings can change from row to row or column to column: a table of axes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_gui import typed
from lora_gui.errors import SettingError, UserError, nearest, shown
from lora_gui.protocol.task_folder import ADAPTER
from lora_gui.settings import DrawSettings, StackEntry, check
from lora_gui.studio.library.shelf import shelf
from lora_gui.studio.library.versions import KEPT
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.run import Run
from lora_gui.studio.things import loras

MOST = 100  # values of an axis
NONE = "none"  # as a LoRA: without one
SAID = {"second": "second at"}  # before the values of an axis; the others are called what they are

# (settings, value as typed, all values as typed, studio) -> settings
Change = Callable[[DrawSettings, str, tuple[str, ...], Studio], DrawSettings]


@dataclass(frozen=True)
class Axis:
    """One side of a grid: `kind` is a key of AXES, `values` as they were typed, which is how they are labelled."""

    kind: str
    values: tuple[str, ...]

    def label(self, value: str) -> str:
        return value if self.kind in ("", "stack", "lora", "words") else f"{SAID.get(self.kind, self.kind)} {value}"

    def applied(self, settings: DrawSettings, value: str, studio: Studio) -> DrawSettings:
        """The settings of one row or column. Raises UserError where the value cannot be."""
        try:
            return AXES[self.kind](settings, value, self.values, studio)
        except SettingError as error:  # what is wrong is the value here, and not the setting at its own field
            raise UserError(error.what, error.remedy) from error


def read(text: str) -> Axis:
    """An axis as the command line writes it: `strength:0,0.5,1`. Raises UserError saying what is wrong."""
    kind, _, rest = text.partition(":")
    kind = kind.strip().lower()
    if kind not in AXES:
        raise UserError(f"A grid has no axis {shown(kind)}.", nearest(kind, AXES))
    if not rest.strip():
        raise UserError(f"The axis {kind} has no values.", "Write them as strength:0,0.5,1.")
    return of(kind, rest)


def of(kind: str, typed_values: str) -> Axis:
    """An axis of these values, parted by commas, or by `|` where they hold commas. Raises UserError."""
    values = tuple(one.strip() for one in typed_values.split("|" if "|" in typed_values else ",") if one.strip())
    if not values:
        raise UserError(f"There are no values for {kind}.", "Write them one after another, with commas between them.")
    if len(values) > MOST:
        raise UserError(f"There are {len(values)} values for {kind}.", f"Use at most {MOST}.")
    if len(set(values)) < len(values):
        raise UserError(f"A value for {kind} stands there twice.", "Name each once.")
    return Axis(kind, values)


def _setting(name: str) -> Change:
    def change(settings: DrawSettings, value: str, values: tuple[str, ...], studio: Studio) -> DrawSettings:
        return check(DrawSettings, settings.model_dump() | typed.read(DrawSettings, [(name, value)]))

    return change


def _strength(place: int) -> Change:
    """Of the LoRA in one place of the stack; the others stay as they are."""

    def change(settings: DrawSettings, value: str, values: tuple[str, ...], studio: Studio) -> DrawSettings:
        strength = typed.number(value)
        if isinstance(strength, str):
            raise UserError(f"The strength {shown(value)} is not a number.", "Write it as 0.8.")
        return _with(settings, {"strength": strength}, place)

    return change


def _lora(settings: DrawSettings, value: str, values: tuple[str, ...], studio: Studio) -> DrawSettings:
    """In place of the first one, at its strength; or none in its place."""
    if value.lower() == NONE:
        return settings.model_copy(update={"stack": settings.stack[1:]})
    path = str(loras.find(studio, value).path)
    if settings.stack:
        return _with(settings, {"lora": path})
    return settings.model_copy(update={"stack": (check(StackEntry, {"lora": path}),)})


def _checkpoint(settings: DrawSettings, value: str, values: tuple[str, ...], studio: Studio) -> DrawSettings:
    """What the run of the first LoRA had learnt by a step; or the name of one of its versions."""
    step = typed.number(value, whole=True)
    if isinstance(step, str):
        return _lora(settings, value, values, studio)
    named = _required(settings).lora
    card = next((one for one in shelf(studio).cards if one.path.stem == Path(named).stem), None)
    if card is None or not card.run:
        raise UserError(f"Which run {Path(named).stem} came of is not known.", "Name its versions instead of steps.")
    for other in shelf(studio).cards:
        if other.run == card.run and other.info and step == (other.notes.step or other.info.steps):
            return _with(settings, {"lora": str(other.path)})
    kept = Run(studio.runs / Path(card.run).name).files.checkpoint(int(step)) / ADAPTER
    if not kept.is_file():
        raise UserError(f"What was learnt by step {step} is not kept.", KEPT)
    return _with(settings, {"lora": str(kept)})


def _words(settings: DrawSettings, value: str, values: tuple[str, ...], studio: Studio) -> DrawSettings:
    """The first value, which stands in the prompt, is replaced by each."""
    if values[0] not in settings.prompt:
        raise UserError(f"The words {shown(values[0])} are not in the prompt.", "Begin with words that are in it.")
    return check(DrawSettings, settings.model_dump() | {"prompt": settings.prompt.replace(values[0], value)})


def _with(settings: DrawSettings, change: dict[str, Any], place: int = 0) -> DrawSettings:
    stack = list(settings.stack)
    stack[place : place + 1] = [check(StackEntry, _required(settings, place).model_dump() | change)]
    return settings.model_copy(update={"stack": tuple(stack)})


def _required(settings: DrawSettings, place: int = 0) -> StackEntry:
    if place < len(settings.stack):
        return settings.stack[place]
    if place:
        raise UserError("There is no second LoRA whose strength could change.", "Put two into the stack.")
    raise UserError("There is no LoRA whose strength or checkpoint could change.", "Put one into the stack.")


AXES: dict[str, Change] = {
    "strength": _strength(0),
    "second": _strength(1),
    "checkpoint": _checkpoint,
    "lora": _lora,
    "seed": _setting("seed"),
    "words": _words,
    "steps": _setting("steps"),
    "guidance": _setting("guidance"),
    "sampler": _setting("sampler"),
}
