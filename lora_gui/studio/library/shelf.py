"""Every LoRA of the studio as a card: what it says of itself, what is noted of it, who made it, what it drew.

Broken files are cards too, with their sentence. Searched, filtered and sorted here, for the window and the command
line alike.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from lora_gui import families
from lora_gui.drive import folded
from lora_gui.errors import UserError
from lora_gui.formats.header import plain
from lora_gui.studio.library import notes, scan
from lora_gui.studio.library.notes import Notes
from lora_gui.studio.library.scan import SUFFIX
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import loras
from lora_gui.studio.things.loras import LoraInfo

SHOWN = 12  # drawings of a card
_ORIGINS = {"made": True, "brought": False}


@dataclass(frozen=True)
class Card:
    """One LoRA of the studio; `info` is None where its file cannot be used, and `what` and `remedy` say why."""

    path: Path
    came: str  # when, as ISO text
    info: LoraInfo | None
    notes: Notes = notes.PLAIN
    run: str = ""  # the folder name of the run of this studio that made it
    drawn: tuple[str, ...] = ()  # drawings with it, within the folder of drawings, the newest first
    times: int = 0  # how many there are
    what: str = ""
    remedy: str = ""

    @property
    def name(self) -> str:
        """As it can be shown."""
        return plain(self.path.stem)

    @property
    def family(self) -> str:
        """The key of its family; empty where it is broken."""
        return self.info.family if self.info else ""

    @property
    def family_title(self) -> str:
        """What its family is called."""
        known = families.facts()
        return known[self.family].title if self.family in known else self.family

    @property
    def used(self) -> str:
        """The newest drawing with it, whose place begins with its day; empty where there is none."""
        return next(iter(self.drawn), "")

    @property
    def strength(self) -> float:
        """The one to draw with."""
        return (self.info.strength if self.info else 0.0) or 1.0


@dataclass(frozen=True)
class Wish:
    """What is looked for; empty asks for all."""

    words: str = ""
    family: str = ""
    origin: str = ""  # made or brought
    star: bool = False
    tag: str = ""
    sort: str = "newest"


@dataclass(frozen=True)
class Shelf:
    """All cards, the newest first, and how many files there was no time to read."""

    cards: list[Card] = field(default_factory=list)
    left: int = 0

    @property
    def tags(self) -> list[str]:
        return sorted({tag for card in self.cards for tag in card.notes.tags}, key=str.casefold)

    @property
    def families(self) -> dict[str, str]:
        """The families there are, by key, as they are called."""
        known = families.facts()
        return {key: known[key].title for key in sorted({card.family for card in self.cards} & known.keys())}

    def find(self, path: Path) -> Card | None:
        return next((card for card in self.cards if card.path == path), None)


def shelf(studio: Studio, seconds: float | None = None) -> Shelf:
    """Every LoRA there is now; new files are read for so many `seconds` at most, all of them where none are named."""
    began = time.monotonic()

    def rest() -> float | None:
        return None if seconds is None else max(0.0, seconds - (time.monotonic() - began))

    told, there, left = scan.loras(studio, rest())
    runs, unread = scan.runs(studio, rest())
    drawn, undrawn = scan.drawn(studio, rest())
    noted = _notes(studio, {name: str((said.get("info") or {}).get("digest", "")) for name, said in told.items()})
    cards = [
        _card(there[name], name, said, noted.get(name, notes.PLAIN), runs, drawn)
        for name, said in told.items()
    ]
    return Shelf(sorted(cards, key=lambda card: card.came, reverse=True), left + unread + undrawn)


def named(studio: Studio, found: Shelf, name: str) -> Card:
    """The card of the LoRA that `name` means, also of a broken one. Raises UserError where there is none."""
    if exact := found.find(loras.place(studio, name.removesuffix(SUFFIX))):
        return exact
    lora = loras.find(studio, name)
    if card := found.find(lora.path):
        return card
    raise UserError(f"{lora.path.name} is not among your LoRAs.", "Bring it into your studio first.")


def broken(card: Card) -> UserError:
    """Why the file of a card cannot be used."""
    return UserError(card.what, card.remedy)


def wanted(cards: Iterable[Card], wish: Wish) -> list[Card]:
    """Those that fit the wish, in its order; the broken ones last."""
    words = folded(wish.words).split()
    fitting = SORTS.get(wish.sort, SORTS["newest"])(
        [
            card
            for card in cards
            if (not wish.family or card.family == wish.family)
            and (not wish.origin or (bool(card.run) is _ORIGINS.get(wish.origin) and card.info))
            and (not wish.star or card.notes.star)
            and (not wish.tag or wish.tag in card.notes.tags)
            and (not words or all(word in _searched(card) for word in words))
        ]
    )
    return sorted(fitting, key=lambda card: card.info is None)


SORTS: dict[str, Callable[[list[Card]], list[Card]]] = {
    "newest": lambda cards: sorted(cards, key=lambda card: card.came, reverse=True),
    "name": lambda cards: sorted(cards, key=lambda card: folded(card.name)),
    "used": lambda cards: sorted(cards, key=lambda card: (card.used, card.came), reverse=True),
}


def _searched(card: Card) -> str:
    said = (card.info.title, card.info.trigger, card.info.base_title, card.info.description) if card.info else ()
    return folded(" ".join((card.name, *said, card.notes.text, *card.notes.tags)))


def _card(
    seen: scan.Seen, name: str, said: dict[str, Any], noted: Notes, runs: dict[str, str], drawn: dict[str, list[str]]
) -> Card:
    names = dict.fromkeys((name, *noted.formerly))
    found = sorted((drawing for one in names for drawing in drawn.get(one, ())), reverse=True)
    return Card(
        path=seen.path,
        came=noted.came or _came(seen.stat),
        info=scan.info(seen.path, said),
        notes=noted,
        run=runs.get(name, "") or noted.run,
        drawn=tuple(found[:SHOWN]),
        times=len(found),
        what=said.get("what", ""),
        remedy=said.get("remedy", ""),
    )


def _notes(studio: Studio, digests: dict[str, str]) -> dict[str, Notes]:
    """What is noted of each LoRA by its name, wherever its file was renamed by hand."""
    notes.follow(studio, digests)
    return scan.noted(studio)


def _came(stat: os.stat_result) -> str:
    try:
        return datetime.fromtimestamp(stat.st_mtime).isoformat(timespec="microseconds")
    except (OverflowError, ValueError, OSError):
        return ""
