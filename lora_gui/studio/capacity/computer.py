"""What this computer can do, in three lines, and which base is a good first one for it."""

import os
import shutil
from dataclasses import dataclass

import psutil

from lora_gui import families
from lora_gui.facts import KnownBase
from lora_gui.studio.capacity import gpu
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import bases

_GIB, _GB = 2**30, 1e9
_ROOM = 1.3  # of a base's download that has to be free, for it and what is made of it
_LITTLE_RAM = 12  # GiB


@dataclass(frozen=True)
class Suggestion:
    """A base to fetch and why; no base where none is to be."""

    base: KnownBase | None
    why: str


def lines(studio: Studio) -> list[str]:
    """The card with its driver, the memory, the disk."""
    card = gpu.card()
    free = shutil.disk_usage(_there(studio)).free / _GB
    driver = f", driver {card.driver}" if card.driver else ""
    first = f"{card.name or 'Graphics card'} with {card.gib:.0f} GB{driver}: it trains and draws."
    if card.unified:
        first = f"{card.name} may use {card.gib:.0f} GB of the memory: it trains and draws, large bases slowly."
    elif not card.gib:
        first = "No NVIDIA graphics card was found: the starter works all the same, larger bases would take days."
    ram = psutil.virtual_memory().total / _GIB
    tight = " That is little: large bases may not load." if ram < _LITTLE_RAM else ""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return [first, f"{ram:.0f} GB of memory, {cores} processor {'cores' if cores > 1 else 'core'}.{tight}",
            f"{free:.0f} GB are free on the disk of your studio."]  # fmt: skip


def suggestion(studio: Studio) -> Suggestion:
    """One base by memory and disk: the best that this card is enough for and that everybody may have."""
    gib, free = gpu.memory(), shutil.disk_usage(_there(studio)).free / _GB
    if not gib:
        return Suggestion(None, "Begin with the starter: it needs no graphics card.")
    here = {base.like for base in bases.list_bases(studio)}
    known = [one for kind in families.facts().values() for one in kind.bases]
    fit = [one for one in known if 0 < one.first_from <= gib + 0.5 and not one.gated]
    for one in sorted(fit, key=lambda one: one.first_from, reverse=True):
        if one.key in here:
            return Suggestion(None, f"{one.title} or one made of it is here: a good base for your card.")
        if one.size_gb * _ROOM <= free:
            why = f"{one.title} fits your card and your disk ({one.size_gb:g} of {free:.0f} GB). {one.good_at}"
            return Suggestion(one, why)
    if not fit:
        return Suggestion(None, "Your card is too small for the larger bases; the starter works.")
    least = min(fit, key=lambda one: one.size_gb)
    what = f"Make {least.size_gb * _ROOM - free:.0f} GB of room for {least.title}; until then the starter is ready."
    return Suggestion(None, what)


def _there(studio: Studio) -> str:
    """The nearest folder that exists: the studio is made with the first thing in it."""
    return str(next(path for path in (studio.home, *studio.home.parents) if path.exists()))
