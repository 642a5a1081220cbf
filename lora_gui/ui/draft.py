"""What was chosen in the window and not started yet: held once for the studio, so that every page shows the same.

It is kept on the disk too, so that a restart asks nothing twice. What the user set by hand is known from the user's
own input alone, and stands here as it was typed, also where it is wrong.
"""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Generic, NamedTuple, TypeVar

from lora_gui import files
from lora_gui.errors import SettingError, UserError
from lora_gui.settings import StackEntry
from lora_gui.studio.paths import Studio

FILE = "draft.json"
LONGEST = 20_000  # characters of one text
MOST = 64  # entries of a table or a list


class Entry(NamedTuple):
    """One row of the stack as it stands in the window: whether it is on, and what StackEntry has; `lora` is a path."""

    on: bool
    lora: str
    strength: float
    text_strength: float | None = None
    down: float = 1.0
    middle: float = 1.0
    up: float = 1.0

    @property
    def values(self) -> dict[str, Any]:
        """As StackEntry takes them; they may be wrong."""
        return {name: getattr(self, name) for name in StackEntry.model_fields}


def entry_of(row: StackEntry, on: bool = True) -> Entry:
    """A row of the stack as the window holds it."""
    return Entry(on, **{name: getattr(row, name) for name in StackEntry.model_fields})


class Typed(NamedTuple):
    """What was typed into a field, and when, in ms; infinity stands for what the window itself puts there."""

    value: Any
    at: float = math.inf


@dataclass(frozen=True)
class TrainDraft:
    """What Train asks; `folder` is the name of the picture set's, empty stands for not chosen."""

    preset: str = ""
    base: str = ""
    folder: str = ""
    trigger: str = ""
    name: str = ""
    hand: dict[str, Any] = field(default_factory=dict)  # settings that the user set, as they were typed
    started: str = ""  # the run that was begun from exactly this
    note: str = ""  # what is to be said of it until it is changed
    begin_from: str = ""  # the path of a LoRA that is trained further
    ground: str = ""  # the colour that is learnt where pictures are transparent


@dataclass(frozen=True)
class DrawDraft:
    """What Generate asks. `hand` holds the numbers that the user set, as they were typed."""

    prompt: str = ""
    negative: str = ""
    base: str = ""
    seed: int = 1
    random: bool = True
    count: Any = 1  # as typed
    hand: dict[str, Any] = field(default_factory=dict)
    stack: tuple[Entry, ...] = ()
    desk: dict[str, Any] = field(default_factory=dict)  # what else was typed, such as the name of a mix
    on_processor: bool = False
    picture: str = ""  # that it begins with, and its mask, by the names of `studio.things.inputs`
    mask: str = ""
    note: str = ""  # what is to be said of it until it is changed


def with_lora(draft: DrawDraft, path: str, trigger: str, strength: float = 1.0) -> DrawDraft:
    """With this LoRA first in the stack, and its trigger word in the prompt."""
    others = tuple(entry for entry in draft.stack if entry.lora != path)
    return replace(draft, stack=(Entry(True, path, strength), *others), prompt=with_word(draft.prompt, trigger))


def with_word(prompt: str, word: str) -> str:
    """The trigger word at the beginning, once."""
    if not word or word.casefold() in prompt.casefold():
        return prompt
    return f"{word} {prompt}".strip() + ("" if prompt.strip() else " ")


Kind = TypeVar("Kind", TrainDraft, DrawDraft)


class Held(Generic[Kind]):
    """One draft and its number, which grows with every change; may be used from several threads.

    `look` is called before anything is read or changed, since the file may have been deleted.
    """

    def __init__(self, value: Kind, look: Callable[[], None], keep: Callable[[], None]) -> None:
        self._value: Kind = value
        self._look, self._keep = look, keep
        self._number = 1
        self._lock = threading.Lock()
        self._took: dict[str, float] = {}  # when what was taken last of each field was typed; ms

    def newest(self, typed: dict[str, Typed]) -> dict[str, Any]:
        """What of it was not taken yet and is not older than what was; asked within a `change`, of which none overtakes
        the other."""
        now = time.time() * 1000  # what is later was typed before the clock was set back
        newer = {name: one for name, one in typed.items() if not one.at <= self._took.get(name, -math.inf) <= now}
        self._took |= {name: one.at for name, one in newer.items() if one.at < math.inf}
        return {name: one.value for name, one in newer.items()}

    def get(self) -> tuple[int, Kind, dict[str, float]]:
        """The number, the draft, and when what was taken last of each field was typed, in ms."""
        self._look()
        with self._lock:
            return self._number, self._value, dict(self._took)

    @property
    def value(self) -> Kind:
        return self.get()[1]

    def change(self, change: Callable[[Kind], Kind]) -> UserError | None:
        """Put what `change` makes of the draft in its place; returns why that could not be kept on the disk."""
        self._look()
        if not self._put(change):
            return None
        try:
            self._keep()
        except UserError as error:
            return error
        return None

    def forget(self) -> None:
        """Begin anew."""
        self._put(lambda value: type(value)())

    def to_keep(self) -> dict[str, Any]:
        with self._lock:
            return asdict(self._value)

    def _put(self, change: Callable[[Kind], Kind]) -> bool:
        """Whether it is another one now."""
        with self._lock:
            changed = change(self._value)
            differs = changed != self._value
            self._value = changed
            self._number += differs
            return differs


class Drafts:
    """Both drafts of a studio."""

    def __init__(self, studio: Studio) -> None:
        self._path = studio.home / FILE
        kept = files.read_json(self._path) if self._path.is_file() else None
        kept = kept if isinstance(kept, dict) else {}
        of_train = kept.get("train", kept)  # before Generate had a draft, that of Train stood alone
        self.train = Held(_read(TrainDraft(), of_train), self._forget_if_deleted, self._keep)
        self.draw = Held(_read(DrawDraft(), kept.get("draw")), self._forget_if_deleted, self._keep)
        self._lock = threading.Lock()
        self._is_kept = self._path.is_file()

    def _forget_if_deleted(self) -> None:
        """Begin anew where the file was deleted by hand: before all else, or what comes in would join what is gone."""
        if not self._is_deleted():  # asked without the lock: nobody who reads waits for what is being written
            return
        with self._lock:
            if self._is_deleted():
                self._is_kept = False
                self.train.forget()
                self.draw.forget()

    def _is_deleted(self) -> bool:
        """The draft alone, and not with the whole studio out of reach."""
        return self._is_kept and not self._path.exists() and self._path.parent.is_dir()

    def _keep(self) -> None:
        with self._lock:
            files.write_json(self._path, {"train": self.train.to_keep(), "draw": self.draw.to_keep()})
            self._is_kept = True


def _read(plain: Kind, kept: Any) -> Kind:
    """What of `kept` is of the right kind; a damaged draft loses no more than what is damaged."""
    if not isinstance(kept, dict):
        return plain
    found: dict[str, Any] = {}
    for one in fields(plain):
        value, usual = kept.get(one.name), getattr(plain, one.name)
        if one.name == "stack":
            found["stack"] = tuple(_row(row) for row in value[:MOST] if _is_row(row)) if isinstance(value, list) else ()
        elif one.name in ("hand", "desk") and isinstance(value, dict):
            found[one.name] = {key: typed for key, typed in list(value.items())[:MOST] if is_typed(typed)}
        elif type(value) is type(usual) and is_typed(value):
            found[one.name] = value
    return type(plain)(**found)


def typed_in(changes: Any) -> tuple[dict[str, Typed], SettingError | None]:
    """What of the `changes` of a page its fields can give, and why the rest is not kept.

    Each is a value, or a value with when it was typed, in ms.
    """
    given = {str(name): _typed(value) for name, value in dict(changes or {}).items()}
    typed = {name: one for name, one in given.items() if one.value is None or is_typed(one.value)}
    long = next((name for name, (value, _) in given.items() if isinstance(value, str) and len(value) > LONGEST), "")
    what = f"This text has more than {LONGEST:,} characters, and is not kept."
    return typed, SettingError(what, "Shorten it.", long) if long else None


def _typed(given: Any) -> Typed:
    match given:
        case [value, int(at) | float(at)]:
            return Typed(value, at)
    return Typed(given)


def is_typed(value: Any) -> bool:
    """Whether a field of the window can give this."""
    return isinstance(value, (bool, int, float)) or (isinstance(value, str) and len(value) <= LONGEST)


def _is_row(row: Any) -> bool:
    if not isinstance(row, list) or not 3 <= len(row) <= len(Entry._fields) or not isinstance(row[1], str):
        return False
    text = row[3:4] == [None]
    return all(isinstance(one, (int, float)) and math.isfinite(one) for one in (row[2], *row[3 + text :]))


def _row(row: list[Any]) -> Entry:
    return Entry(bool(row[0]), row[1], float(row[2]), *row[3:])
