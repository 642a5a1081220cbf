"""How all bases stand: each known one with where it is and whether it fits, and the user's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lora_gui import families
from lora_gui.errors import UserError
from lora_gui.facts import KnownBase
from lora_gui.protocol.jobs import Base
from lora_gui.studio.capacity.verdicts import Verdict
from lora_gui.studio.finding import found
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import downloads
from lora_gui.studio.tasks.fetching import FetchStatus
from lora_gui.studio.things import base_removal, bases

SHIPPED, HERE, ELSEWHERE, FETCHING, PERMISSION, AWAY = "shipped", "here", "elsewhere", "fetching", "permission", "away"


@dataclass(frozen=True)
class Held:
    """A base on this computer: whose it is, and what taking it away comes to; empty where it has to stay."""

    base: Base
    family: str  # its title
    program: str
    size: int
    removal: str


@dataclass(frozen=True)
class Card:
    """A known base: where it is, in which way, what is `alike` of the user's own, and whether it fits."""

    known: KnownBase
    family: str
    licence: str  # in a sentence
    state: str
    held: Held | None
    alike: tuple[str, ...]
    verdict: Verdict | None
    fetch: FetchStatus | None


@dataclass(frozen=True)
class Everything:
    """All of it; `own` are the bases that are none of the known ones themselves."""

    cards: tuple[Card, ...]
    own: tuple[Held, ...]
    unusable: tuple[tuple[str, UserError], ...]
    gone: tuple[str, ...]  # paths of what was found and is not there any more
    silent: tuple[str, ...]  # paths on drives that do not answer
    others: dict[str, int]
    left: tuple[str, ...]
    looked: bool


def everything(studio: Studio, verdicts: dict[str, Verdict]) -> Everything:
    """How all known bases stand, and what else is on this computer."""
    memory = found.remembered(studio)
    programs = {one.path: one.program for one in memory.bases}
    usable, passed_over = bases.both(studio)
    held = [_held(studio, base, programs.get(base.path, "")) for base in usable]
    fetches = {one.base: one.status() for one in downloads.begun(studio)}
    cards, itself = [], set[str]()
    for kind in families.facts().values():
        for known in kind.bases:
            mine = next((one for one in held if _is(one.base, known)), None)
            itself |= {mine.base.key} if mine else set()
            alike = tuple(one.base.title for one in held if one.base.known == known.key and one is not mine)
            fetch = fetches.get(known.key)
            state = _state(studio, known, mine, fetch)
            says = families.licence_says(known.licence)
            cards.append(Card(known, kind.title, says, state, mine, alike, verdicts.get(known.key), fetch))
    now = found.now(memory.bases)
    return Everything(
        tuple(cards),
        tuple(one for one in held if one.base.key not in itself),
        tuple((str(path), why) for path, why in passed_over),
        tuple(one.path for one in now.gone),
        tuple(one.path for one in now.silent),
        memory.others,
        memory.left,
        bool(memory.looked),
    )


def families_of(cards: Sequence[Card]) -> dict[str, list[Card]]:
    """The cards by the titles of their families, what is here first."""
    groups: dict[str, list[Card]] = {}
    for card in cards:
        groups.setdefault(card.family, []).append(card)
    here = {SHIPPED: 0, HERE: 0, ELSEWHERE: 0, FETCHING: 1}
    return dict(sorted(groups.items(), key=lambda group: min(here.get(card.state, 2) for card in group[1])))


def _is(base: Base, known: KnownBase) -> bool:
    """Whether it is this known base itself, and not one that was made of it."""
    return base.known == known.key and base.title.partition(" (")[0] == known.title


def _state(studio: Studio, known: KnownBase, held: Held | None, fetch: FetchStatus | None) -> str:
    if fetch and fetch.state != "none":
        return FETCHING
    if held and bases.ships_with_the_app(held.base):
        return SHIPPED
    if held:
        return HERE if Path(held.base.path).is_relative_to(studio.bases) else ELSEWHERE
    return PERMISSION if known.gated else AWAY


def _held(studio: Studio, base: Base, program: str) -> Held:
    try:
        size = bases.size(base)
    except (UserError, OSError):  # a file that went a moment ago
        size = 0
    try:
        removal = base_removal.of(studio, base).sentence
    except UserError:
        removal = ""
    return Held(base, families.facts_of(base.family).title, program, size, removal)
