"""What a child says while it works: one JSON line each, such as `{"event": "Note", "text": "..."}`.

Readers pass over kinds and fields they do not know, so that an older app reads the folders of a newer one.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from lora_gui import files

_READ = ConfigDict(extra="ignore")


@dataclass(frozen=True, config=_READ)
class Resumed:
    """The run goes on after an end; its next child is about to come. Said by the one who starts it."""

    because: str = ""  # why, and what is different now, where it goes on by itself; empty where it was told to


@dataclass(frozen=True, config=_READ)
class Started:
    """The child has read its job."""

    steps: int
    first_step: int = 0  # > 0 when a run goes on from a checkpoint


@dataclass(frozen=True, config=_READ)
class Phase:
    """What is done outside the steps, such as `Encoding pictures`; done and of count things, of = 0 when unknown."""

    name: str
    done: int = 0
    of: int = 0


@dataclass(frozen=True, config=_READ)
class Transfer:
    """Bytes that are here of those to come; `speed` in bytes a second of late, `seconds_left` an estimate of that."""

    done: int
    of: int
    speed: float = 0.0
    seconds_left: float | None = None
    name: str = ""  # of the file that comes


@dataclass(frozen=True, config=_READ)
class Step:
    """Steps up to `step` are done; `loss` is the mean since the last such event, `seconds_left` an estimate."""

    step: int
    of: int
    loss: float
    learning_rate: float
    seconds_left: float


@dataclass(frozen=True, config=_READ)
class Measured:
    """Losses at fixed noise and timesteps after `step` steps, over those of step 0: of pictures that are learnt, of
    ones that were kept back (None without any), and of each that is learnt, by its file's name."""

    step: int
    learnt: float
    unseen: float | None = None
    pictures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, config=_READ)
class Sample:
    """A sample drawing was made with the LoRA as it was at `step`."""

    step: int
    path: str
    prompt: str
    seed: int


@dataclass(frozen=True, config=_READ)
class Saved:
    """A checkpoint is on the disk, whole."""

    step: int
    path: str


@dataclass(frozen=True, config=_READ)
class Preview:
    """A rough picture of a drawing under way."""

    id: str
    path: str
    step: int
    of: int


@dataclass(frozen=True, config=_READ)
class Drawn:
    """One drawing is finished and on the disk."""

    id: str
    path: str
    seed: int
    number: int
    of: int


@dataclass(frozen=True, config=_READ)
class Note:
    """A sentence worth reading."""

    text: str


@dataclass(frozen=True, config=_READ)
class Found:
    """What a link leads to: its title, and the sizes of its files by their names. Texts come from strangers."""

    found: dict[str, Any]


@dataclass(frozen=True, config=_READ)
class Planned:
    """What a training needs of memory, as `engine.memory.plan.Plan.to_json` says it."""

    plan: dict[str, Any]


@dataclass(frozen=True, config=_READ)
class Described:
    """What a captioner says of the picture with this number in its job, from 0; empty where it says nothing."""

    number: int
    text: str


@dataclass(frozen=True, config=_READ)
class Mixed:
    """A stack is one LoRA; `kept` is the share of its squared norm that is left."""

    kept: float
    rank: int
    layers: int
    bytes: int


@dataclass(frozen=True, config=_READ)
class Done:
    """A run: the LoRA is published and was read back whole. A drawing order (`id`): all its drawings are there."""

    lora: str = ""
    sha256: str = ""
    steps: int = 0
    seconds: float = 0.0
    id: str = ""


@dataclass(frozen=True, config=_READ)
class Stopped:
    """The user stopped it; `lora` is what was saved of it, empty if there was nothing worth saving."""

    step: int = 0
    lora: str = ""
    sha256: str = ""
    id: str = ""


@dataclass(frozen=True, config=_READ)
class Paused:
    """All that was learnt is kept and the memory is free; `what` and `remedy` where it was not the user's wish."""

    step: int
    what: str = ""
    remedy: str = ""


@dataclass(frozen=True, config=_READ)
class Failed:
    """It did not work; one sentence what, one sentence remedy.

    `cause` names what a retry can do something about: `memory`, or `diverged` where the learning rate was too high; of
    a download, `sign in` where the user is to be known first. `instead` are values of settings that mend it.
    """

    what: str
    remedy: str
    id: str = ""
    cause: str = ""
    instead: dict[str, Any] = field(default_factory=dict)


Last = Done | Stopped | Paused | Failed  # what a child says last
Event = (
    Resumed | Started | Phase | Transfer | Step | Measured | Sample | Saved | Preview | Drawn | Note | Found | Planned
    | Described | Mixed | Done | Stopped | Paused | Failed
)  # fmt: skip
E = TypeVar("E", bound=Event)

_READERS: dict[str, TypeAdapter[Any]] = {kind.__name__: TypeAdapter(kind) for kind in get_args(Event)}
_PLACES = ("path", "lora")  # fields that name a file
_FORMERLY = {"lacking": "cause"}  # field names of version 0 to today's
_CAUSES = {"calm": "diverged"}  # likewise
_STEP = b'{"event": "Step"'
_ON_THE_WAY = tuple(f'{{"event": "{name}"'.encode() for name in ("Phase", "Sample", "Measured", "Note", "Saved"))


def to_line(event: Event) -> str:
    """One line of JSON without its line break."""
    return files.to_json({"event": type(event).__name__} | asdict(event))


def from_line(line: str) -> Event | None:
    """Read one line; None where it is cut short or not an event that is known here (a crash can leave half a line)."""
    try:
        said = json.loads(line)
        return from_fields(said) if isinstance(said, dict) else None
    except (ValueError, RecursionError):
        return None


def in_short(path: Path) -> Iterator[Event]:
    """The events in a file, without what is only said on the way, and of Steps in a row the last; quick."""
    if not path.is_file():
        return
    step = b""
    with open(path, "rb") as file:
        for line in file:
            if line.startswith(_STEP):
                step = line
            elif line.endswith(b"\n") and not line.startswith(_ON_THE_WAY):
                yield from _in_lines(step, line)
                step = b""
    yield from _in_lines(step)


def _in_lines(*lines: bytes) -> Iterator[Event]:
    for line in lines:
        if event := from_line(line.decode("utf-8", errors="replace")):
            yield event


def from_fields(said: dict[str, Any]) -> Event | None:
    """The event in what `to_line` wrote; None where its kind is not known or a field has another type."""
    reader = _READERS.get(str(said.get("event")))
    if reader is None:
        return None
    known = {_FORMERLY.get(name, name): value for name, value in said.items()}
    if isinstance(known.get("cause"), str):
        known["cause"] = _CAUSES.get(known["cause"], known["cause"])
    try:
        event: Event = reader.validate_python(known)
    except (ValidationError, RecursionError):
        return None
    return event


def relocated(event: E, place: Callable[[str], str]) -> E:
    """The event with `place` applied to every path in it."""
    named = {one.name for one in fields(event)} & {*_PLACES}
    changed: dict[str, Any] = {name: place(value) for name in named if (value := getattr(event, name))}
    return replace(event, **changed) if changed else event
