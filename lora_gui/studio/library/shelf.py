"""Every LoRA of the studio as a card: what it says of itself, what is noted of it, who made it, what it drew.

Broken files are cards too, with their sentence. Searched, filtered and sorted here, for the window and the command
line alike.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from lora_gui import families, files
from lora_gui.errors import UserError
from lora_gui.formats.header import plain
from lora_gui.studio.library import index, notes
from lora_gui.studio.library.notes import Notes
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.run import Run
from lora_gui.studio.things import drawings, loras
from lora_gui.studio.things.loras import LoraInfo, describe

SUFFIX = ".safetensors"
SHOWN = 12  # drawings of a card
_TAG = re.compile(r"<lora:([^:>\n]+):")
_ORIGINS = {"made": True, "brought": False}


@dataclass(frozen=True)
class Card:
    """One LoRA of the studio; `info` is None where its file cannot be used, and `what` and `remedy` say why."""

    path: Path
    came: str  # when, as ISO text
    info: LoraInfo | None
    notes: Notes = notes.PLAIN
    run: str = ""  # the folder name of the run of this studio that made it
    drawn: tuple[Path, ...] = ()  # drawings with it, the newest first
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
    def used(self) -> str:
        """The day and name of the newest drawing with it; empty where there is none."""
        return f"{self.drawn[0].parent.name}/{self.drawn[0].name}" if self.drawn else ""

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
    told, states, left = _loras(studio, seconds)
    runs, unread = _runs(studio, seconds)
    drawn, undrawn = _drawn(studio, seconds)
    noted = _notes(studio, {name: str((said.get("info") or {}).get("digest", "")) for name, said in told.items()})
    cards = [
        _card(studio, name, said, _came(states[name]), noted.get(name, notes.PLAIN), runs, drawn)
        for name, said in told.items()
    ]
    return Shelf(sorted(cards, key=lambda card: card.came, reverse=True), left + unread + undrawn)


def usable(studio: Studio) -> list[LoraInfo]:
    """Every LoRA that can be drawn with, the file that changed last first."""
    told, states, _ = _loras(studio, None)
    names = sorted(told, key=lambda name: states[name].st_mtime_ns, reverse=True)
    found = (_info(studio, name, told[name]) for name in names)
    return [info for info in found if info]


def triggers(studio: Studio) -> dict[str, str]:
    """The trigger word of each LoRA of the studio that says one, to the LoRA's name."""
    return {lora.trigger: lora.name for lora in usable(studio) if lora.trigger}


def named(studio: Studio, found: Shelf, name: str) -> Card:
    """The card of the LoRA that `name` means, also of a broken one. Raises UserError where there is none."""
    if exact := found.find(studio.loras / f"{name.removesuffix(SUFFIX)}{SUFFIX}"):
        return exact
    lora = loras.find(studio, name)
    if card := found.find(lora.path):
        return card
    raise UserError(f"{lora.path.name} is not among your LoRAs.", "Bring it into your studio first.")


def renamed(studio: Studio) -> dict[str, str]:
    """The paths that LoRAs of the studio had under earlier names, each with the one it has now."""
    found = {}
    for name, noted in _noted(studio).items():
        for old in noted.formerly:
            found[str(studio.loras / f"{old}{SUFFIX}")] = str(studio.loras / f"{name}{SUFFIX}")
    return found


def wanted(cards: Iterable[Card], wish: Wish) -> list[Card]:
    """Those that fit the wish, in its order."""
    words = _folded(wish.words).split()
    return SORTS.get(wish.sort, SORTS["newest"])(
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


SORTS: dict[str, Callable[[list[Card]], list[Card]]] = {
    "newest": lambda cards: sorted(cards, key=lambda card: card.came, reverse=True),
    "name": lambda cards: sorted(cards, key=lambda card: _folded(card.name)),
    "used": lambda cards: sorted(cards, key=lambda card: (card.used, card.came), reverse=True),
}


def _searched(card: Card) -> str:
    said = (card.info.title, card.info.trigger, card.info.base_title, card.info.description) if card.info else ()
    return _folded(" ".join((card.name, *said, card.notes.text, *card.notes.tags)))


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _loras(studio: Studio, seconds: float | None) -> tuple[dict[str, Any], dict[str, os.stat_result], int]:
    """What is told of each LoRA file by its name without suffix, and its state; those still being written left out."""
    states = _scanned(studio.loras, SUFFIX)
    marks = {name: _mark(stat) for name, stat in states.items()}
    told, left = index.told_of(studio, "lora", marks, lambda name: _told(studio.loras / f"{name}{SUFFIX}"), seconds)
    return told, states, left


def _scanned(folder: Path, suffix: str) -> dict[str, os.stat_result]:
    """The files of a folder that end so, without what is still being written, each with its state."""
    found = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(suffix) and not entry.name.startswith("."):
                    stat = _stat(entry)
                    if stat is not None:
                        found[entry.name.removesuffix(suffix)] = stat
    except OSError:  # there is no such folder, or it cannot be listed, which "Check my studio" says
        return {}
    return found


def _stat(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat() if entry.is_file() else None
    except OSError:  # deleted a moment ago, or a link that leads nowhere
        return None


def _mark(stat: os.stat_result) -> str:
    return f"{stat.st_dev} {stat.st_ino} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}"


def _came(stat: os.stat_result) -> str:
    try:
        return datetime.fromtimestamp(stat.st_mtime).isoformat(timespec="microseconds")
    except (OverflowError, ValueError, OSError):
        return ""


def _told(path: Path) -> dict[str, Any] | None:
    try:
        said = asdict(describe(path))
        del said["path"]
        return {"info": said}
    except UserError as error:
        return {"what": error.what, "remedy": error.remedy}
    except files.STRANGE as error:
        because = getattr(error, "strerror", None) or "it is damaged"
        return {"what": f"{plain(path.name)} could not be read ({because}).", "remedy": "Get another copy of it."}


def _info(studio: Studio, name: str, said: dict[str, Any]) -> LoraInfo | None:
    if "info" not in said:
        return None
    fields = {**said["info"], "odd": tuple(said["info"]["odd"])}
    return LoraInfo(path=studio.loras / f"{name}{SUFFIX}", **fields)


def _card(
    studio: Studio,
    name: str,
    said: dict[str, Any],
    came: str,
    noted: Notes,
    runs: dict[str, str],
    drawn: dict[str, list[Path]],
) -> Card:
    names = dict.fromkeys((name, *noted.formerly))
    found = sorted((path for one in names for path in drawn.get(one, ())), key=_day, reverse=True)
    return Card(
        path=studio.loras / f"{name}{SUFFIX}",
        came=noted.came or came,
        info=_info(studio, name, said),
        notes=noted,
        run=runs.get(name, "") or noted.run,
        drawn=tuple(found[:SHOWN]),
        times=len(found),
        what=said.get("what", ""),
        remedy=said.get("remedy", ""),
    )


def _day(drawing: Path) -> tuple[str, str]:
    return drawing.parent.name, drawing.name


def _notes(studio: Studio, digests: dict[str, str]) -> dict[str, Notes]:
    """What is noted of each LoRA by its name, wherever its file was renamed by hand."""
    notes.follow(studio, digests)
    return _noted(studio)


def _noted(studio: Studio) -> dict[str, Notes]:
    marks = {name: _mark(stat) for name, stat in _scanned(studio.library, ".json").items()}
    told, _ = index.told_of(studio, "notes", marks, lambda name: notes.of(studio, name).model_dump())
    return {name: Notes.model_validate(said) for name, said in told.items()}


def _runs(studio: Studio, seconds: float | None) -> tuple[dict[str, str], int]:
    """The LoRAs that runs of this studio made, by their names, each with the run's folder name."""
    states = {}
    for folder in studio.runs.glob("*/result.json"):
        try:
            states[folder.parent.name] = _mark(folder.stat())
        except OSError:
            continue
    told, left = index.told_of(studio, "run", states, partial(_made, studio), seconds)
    return {said["lora"]: name for name, said in sorted(told.items()) if said.get("lora")}, left


def _made(studio: Studio, run: str) -> dict[str, Any] | None:
    try:
        made = Run(studio.runs / run).summary().lora
    except files.STRANGE:
        return {}
    return {"lora": Path(made).stem if made and Path(made).parent == studio.loras else ""}


def _drawn(studio: Studio, seconds: float | None) -> tuple[dict[str, list[Path]], int]:
    """The drawings with each LoRA, by its name."""
    states = {
        f"{day.name}/{name}.png": _mark(stat)
        for day in studio.drawings.glob("????-??-??")
        for name, stat in _scanned(day, ".png").items()
        if not name.endswith("-preview") and stat.st_nlink <= 1
    }
    told, left = index.told_of(studio, "drawing", states, partial(_used, studio), seconds)
    found: dict[str, list[Path]] = {}
    for name, said in told.items():
        for lora in said.get("loras", ()):
            found.setdefault(lora, []).append(studio.drawings / name)
    return found, left


def _used(studio: Studio, drawing: str) -> dict[str, Any]:
    return {"loras": list(dict.fromkeys(_TAG.findall(drawings.record(studio.drawings / drawing))))}
