"""The base follows the family of the LoRAs in the stack, and says so; knows no component."""

from dataclasses import replace
from pathlib import Path

from lora_gui import files
from lora_gui.protocol.jobs import Base
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import bases, loras
from lora_gui.ui.draft import DrawDraft
from lora_gui.ui.widgets import base_list


def followed(studio: Studio, draft: DrawDraft) -> DrawDraft:
    """The draft with a base of the family that its LoRAs are for, where they are for one and such a base is here."""
    wanted = _wanted(draft)
    base = base_list.chosen(studio, draft.base)
    if len({one.family for one in wanted}) != 1 or wanted[0].family == base.family:
        return draft
    other = _of(studio, wanted[0])
    if other is None:
        return draft
    note = f"The base is {other.title} now: {wanted[0].name} is for {bases.family_title(wanted[0].family)}."
    return replace(draft, base=other.key, note=f"{draft.note} {note}".strip())


def missing(studio: Studio, draft: DrawDraft, base: Base) -> str:
    """What of the draft no base here can draw, in a sentence; empty where all of it can be drawn, with `base`."""
    wanted = _wanted(draft)
    kinds = dict.fromkeys(one.family for one in wanted)
    if len(kinds) > 1:
        titles = " and ".join(map(bases.family_title, kinds))
        return f"The LoRAs are for {titles}, which cannot be drawn together. Switch off those of one kind."
    if not wanted or _of(studio, wanted[0]):
        return base_list.gone(draft.base, base)
    title = bases.family_title(wanted[0].family)
    return f"{wanted[0].name} is for {title}, and no such base is here. Get one on Bases."


def _wanted(draft: DrawDraft) -> list[loras.LoraInfo]:
    """The LoRAs that are on; a damaged one says nothing."""
    found = []
    for entry in draft.stack:
        try:
            found += [loras.describe(Path(entry.lora))] if entry.on and entry.lora else []
        except files.STRANGE:
            continue
    return found


def _of(studio: Studio, lora: loras.LoraInfo) -> Base | None:
    """The base that a LoRA was made for, else the first of its family; None where there is none."""
    there = [one for one in bases.list_bases(studio) if one.family == lora.family]
    same = (one for one in there if lora.base_key and lora.base_key in (one.key, one.known))
    return next(same, next(iter(there), None))
