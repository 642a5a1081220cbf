"""What was found on this computer: remembered in the studio, looked after whenever it is asked for, never copied."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from lora_gui import files
from lora_gui.formats import base_files
from lora_gui.studio.finding import patience
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import base_folder

FILE = "found.json"
BY_HAND = "added by hand"
_VERSION = 1
_MOST = 5_000  # things that are remembered


@dataclass(frozen=True)
class Thing:
    """A base, or a part of one, where it lies. `size` and `time` (ns since 1970) tell whether it is as it was."""

    path: str
    family: str  # empty for a part
    like: str  # the known base that it is by its configuration, or what part it is
    size: int
    time: int
    program: str

    @property
    def is_base(self) -> bool:
        return bool(self.family)


@dataclass(frozen=True)
class Found:
    """`others` counts what is no base by what it is, `left` says in sentences what was not looked at."""

    looked: str = ""  # when, as ISO text in UTC; empty where it never was
    things: tuple[Thing, ...] = ()
    others: dict[str, int] = field(default_factory=dict)
    left: tuple[str, ...] = ()

    @property
    def bases(self) -> list[Thing]:
        return [one for one in self.things if one.is_base]


@dataclass(frozen=True)
class Now:
    """How what was found stands now: what is `here`, what is `gone`, and what lies on a drive that does not answer."""

    here: tuple[Thing, ...]
    changed: tuple[Thing, ...]
    gone: tuple[Thing, ...]
    silent: tuple[Thing, ...]


def remembered(studio: Studio) -> Found:
    """What the last look found; what is damaged of it is left out."""
    said = files.read_json(studio.home / FILE, 16 << 20)
    if not isinstance(said, dict):
        return Found()
    listed = said.get("things")
    things = tuple(filter(None, map(_thing, listed[:_MOST]))) if isinstance(listed, list) else ()
    others, left = said.get("others"), said.get("left")
    counted = {str(kind): n for kind, n in others.items() if type(n) is int} if isinstance(others, dict) else {}
    sentences = tuple(map(str, left)) if isinstance(left, list) else ()
    return Found(str(said.get("looked", "")), things, counted, sentences)


def remember(studio: Studio, found: Found) -> None:
    """Raises UserError where the disk refuses."""
    files.write_json(studio.home / FILE, {"version": _VERSION} | asdict(replace(found, things=found.things[:_MOST])))


def mark_of(path: Path) -> Path:
    """The file whose state stands for a base's: its own, or the index of its folder."""
    return path if path.suffix.lower() in base_files.CHECKPOINTS else path / base_folder.INDEX


def now(things: Sequence[Thing]) -> Now:
    """How these stand; takes no longer than a silent drive is waited for."""
    states = patience.states([mark_of(Path(one.path)) for one in things])
    sorts: dict[str, list[Thing]] = {"here": [], "changed": [], "gone": [], "silent": []}
    for one in things:
        mark = mark_of(Path(one.path))
        if mark not in states:
            sorts["silent"].append(one)
        elif (state := states[mark]) is None:
            sorts["gone"].append(one)
        else:
            sorts["here" if state == (one.size, one.time) else "changed"].append(one)
    return Now(*(tuple(sorts[sort]) for sort in ("here", "changed", "gone", "silent")))


def add(studio: Studio, thing: Thing) -> None:
    """Remember one more, in place of what was known of its path."""
    known = remembered(studio)
    others = tuple(one for one in known.things if one.path != thing.path)
    remember(studio, replace(known, things=(*others, thing)))


def forget(studio: Studio, path: str) -> None:
    """Forget one, if it was known. Nothing of it is deleted."""
    known = remembered(studio)
    rest = tuple(one for one in known.things if one.path != path)
    if len(rest) < len(known.things):
        remember(studio, replace(known, things=rest))


def _thing(said: Any) -> Thing | None:
    try:
        kinds = {one.name: int if one.name in ("size", "time") else str for one in fields(Thing)}
        found = Thing(**{name: said[name] for name in kinds})
        right = all(type(getattr(found, name)) is kind for name, kind in kinds.items())
        return found if right and Path(found.path).is_absolute() and json.dumps(found.path) else None
    except (KeyError, TypeError, ValueError):
        return None
