"""Change a LoRA of the studio: its name with all that is called so, and what its file says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from lora_gui import files
from lora_gui.drive import folded
from lora_gui.errors import SettingError, UserError
from lora_gui.formats import edit
from lora_gui.formats.header import plain
from lora_gui.formats.metadata import STRONGEST, edited, strength_of, trigger_of
from lora_gui.studio.library import notes, shelf
from lora_gui.studio.library.beside import beside
from lora_gui.studio.library.notes import Notes
from lora_gui.studio.library.shelf import Card
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.run import Run
from lora_gui.studio.things import triggers
from lora_gui.studio.things.loras import naming
from lora_gui.studio.things.names import check_name, clean_caption

LONGEST = {"title": 200, "trigger": 200, "description": 2000}  # characters, as files are read again


@dataclass(frozen=True)
class Says:
    """What a file says of itself and can be edited; `strength` 0 says none."""

    title: str
    trigger: str
    strength: float
    description: str


def rename(studio: Studio, card: Card, name: str) -> Path:
    """Give a LoRA another name: its file, what lies beside it, its notes, and the run that made it follow.

    Stacks that name it find it by its notes. Returns its new path. Raises UserError where the name cannot be used or is
    taken, or the disk refuses.
    """
    new = check_name(name)
    if new == card.path.stem:
        return card.path
    with naming(studio):
        target = _renamed(studio, card, new)
    _tell_run(studio, card, target)
    return target


def _renamed(studio: Studio, card: Card, new: str) -> Path:
    path = card.path
    target = path.with_name(f"{new}{path.suffix}")
    moves = {path: target} | {one: path.with_name(new + one.name.removeprefix(path.stem)) for one in beside(path)}
    taken = {folded(one.name) for one in studio.loras.iterdir()} - {folded(one.name) for one in moves}
    for there in (one.name for one in moves.values() if folded(one.name) in taken):
        what = f"There is a LoRA called {new} already." if there == target.name else f"There is a file {there} already."
        raise UserError(what, "Choose another name.")
    if not path.is_file():
        raise UserError(f"{card.name} is not there any more.", "It was taken away or renamed meanwhile.")
    notes.rename(studio, path.stem, new)
    for one, place in moves.items():
        files.move(one, place)
    return target


def say(studio: Studio, card: Card, says: Says) -> None:
    """Let the file say this of itself; its weights stay byte for byte. Raises UserError where it cannot."""
    title, trigger = clean_caption(says.title), clean_caption(says.trigger)
    text, now = plain_lines(says.description), edit.metadata(card.path)
    before = _said(now)
    for field, value in (("title", title), ("trigger", trigger), ("description", text)):
        if len(value) > LONGEST[field] and getattr(says, field) != getattr(before, field):
            what = f"The {field} is {len(value):,} characters long."
            raise SettingError(what, f"Use at most {LONGEST[field]:,}.", field)
    if not 0 <= says.strength <= STRONGEST:
        what = f"The best strength is between 0 and {STRONGEST:g}."
        raise SettingError(what, "0 says none.", "strength")
    if trigger != before.trigger:  # what another program wrote stays as it is
        for word in filter(None, map(str.strip, trigger.split(","))):
            triggers.usable(word)
    changes = edited(now, title, trigger, says.strength, text)
    if all(now.get(field, "") == value for field, value in changes.items()):
        return
    write(studio, card.path, changes)


def write(studio: Studio, path: Path, fields: Mapping[str, str | None]) -> None:
    """Change the metadata of a LoRA wherever it lies; of one of the studio, when it came and its run stay known."""
    if path.parent.resolve() != studio.loras.resolve():
        edit.edit(path, fields)
        return
    card = shelf.named(studio, shelf.shelf(studio), path.name)
    if not card.notes.came:
        note(studio, card, came=card.came or datetime.now().isoformat())
    edit.edit(path, fields)
    _tell_run(studio, card, card.path)


def says(card: Card, **changes: Any) -> Says:
    """What the file of a LoRA says now, with `changes` of it. Raises UserError where it cannot be read."""
    return replace(_said(edit.metadata(card.path)), **changes)


def _said(now: dict[str, str]) -> Says:
    title, description = now.get("modelspec.title", ""), now.get("modelspec.description", "")
    return Says(title, trigger_of(now), strength_of(now), description)


def note(studio: Studio, card: Card, **changes: object) -> Notes:
    """Note this of a LoRA, for the user alone. Raises UserError where it is too much or the disk refuses."""
    if card.info and card.info.digest:
        changes["digest"] = card.info.digest
    return notes.change(studio, card.path.stem, **changes)


def plain_lines(text: str) -> str:
    """Without signs that cannot be seen, its lines kept."""
    return "\n".join(plain(line, LONGEST["description"] + 1).rstrip() for line in text.strip().splitlines())


def _tell_run(studio: Studio, card: Card, path: Path) -> None:
    """Let the run that made it know where its LoRA lies now, and what it is."""
    folder = studio.runs / Path(card.run).name
    if card.run and folder.is_dir():
        run = Run(folder)
        if Path(run.status().lora) == card.path:
            run.note_lora(path)
