"""What a child says while it works: one JSON line each, such as `{"event": "Note", "text": "..."}`."""

import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Resumed:
    """The run goes on after an end; its next child is about to come. Said by the one who starts it."""

    because: str = ""  # why, and what is different now, where it goes on by itself; empty where it was told to


@dataclass(frozen=True)
class Started:
    """The child has read its job."""

    steps: int
    first_step: int = 0  # > 0 when a run goes on from a checkpoint


@dataclass(frozen=True)
class Phase:
    """What is done outside the steps, such as `Encoding pictures`; done and of count things, of = 0 when unknown."""

    name: str
    done: int = 0
    of: int = 0


@dataclass(frozen=True)
class Step:
    """Steps up to `step` are done; `loss` is the mean since the last such event, `seconds_left` an estimate."""

    step: int
    of: int
    loss: float
    learning_rate: float
    seconds_left: float


@dataclass(frozen=True)
class Sample:
    """A sample drawing was made with the LoRA as it was at `step`."""

    step: int
    path: str
    prompt: str
    seed: int


@dataclass(frozen=True)
class Saved:
    """A checkpoint is on the disk, whole."""

    step: int
    path: str


@dataclass(frozen=True)
class Preview:
    """A rough picture of a drawing under way."""

    id: str
    path: str
    step: int
    of: int


@dataclass(frozen=True)
class Drawn:
    """One drawing is finished and on the disk."""

    id: str
    path: str
    seed: int
    number: int
    of: int


@dataclass(frozen=True)
class Note:
    """A sentence worth reading."""

    text: str


@dataclass(frozen=True)
class Planned:
    """What a training needs of memory, as `engine.memory.Plan.to_json` says it."""

    plan: dict[str, Any]


@dataclass(frozen=True)
class Done:
    """A run: the LoRA is published and was read back whole. A drawing order (`id`): all its drawings are there."""

    lora: str = ""
    sha256: str = ""
    steps: int = 0
    seconds: float = 0.0
    id: str = ""


@dataclass(frozen=True)
class Stopped:
    """The user stopped it; `lora` is what was saved of it, empty if there was nothing worth saving."""

    step: int = 0
    lora: str = ""
    sha256: str = ""
    id: str = ""


@dataclass(frozen=True)
class Paused:
    """All that was learnt is kept and the memory is free; `what` and `remedy` where it was not the user's wish."""

    step: int
    what: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Failed:
    """It did not work; one sentence what, one sentence remedy.

    `cause` names what a retry can do something about: `memory`, or `diverged` where the learning rate was too high.
    """

    what: str
    remedy: str
    id: str = ""
    cause: str = ""


Event = (
    Resumed | Started | Phase | Step | Sample | Saved | Preview | Drawn | Note | Planned
    | Done | Stopped | Paused | Failed
)  # fmt: skip
_KINDS = {kind.__name__: kind for kind in Event.__args__}


def to_line(event: Event) -> str:
    """One line of JSON without its line break."""
    return json.dumps({"event": type(event).__name__} | asdict(event), ensure_ascii=False)


def from_line(line: str) -> Event | None:
    """Read one line; None where it is cut short or not an event of ours (a crash can leave half a line)."""
    try:
        fields = json.loads(line)
        return _KINDS[fields.pop("event")](**fields)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
