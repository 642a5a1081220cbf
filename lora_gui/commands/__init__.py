"""The commands by topic; `add` of each file puts its own on the command line. Here stands what they share."""

import argparse
import contextlib
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_gui.errors import UserError, shown

if TYPE_CHECKING:
    from pydantic import BaseModel

    from lora_gui.protocol.events import Event

# (commands, name, what does it, help) -> its parser, which knows --json already. What does it takes the options and the
# studio and returns what is printed: with --json as it is, else by the parser's default `show`, line by line.
Register = Callable[[Any, str, Callable[..., Any], str], argparse.ArgumentParser]


class EndedEarly(UserError):
    """Work that began and did not end well; `saved`, what there is of it, goes into the JSON beside the sentence."""

    def __init__(self, what: str, remedy: str, saved: dict[str, Any]) -> None:
        super().__init__(what, remedy)
        self.saved = saved


def as_path(text: str) -> Path:
    """The path that an option is given, as argparse wants it; an empty one would be the folder one happens to be in."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty; write . for this folder")
    return Path(text)


def gigabytes(text: str) -> float:
    """The memory that an option is given, as argparse wants it."""
    try:
        size = float(text)
    except ValueError:
        size = math.nan
    if not 0 < size < math.inf:
        raise argparse.ArgumentTypeError(f"memory is a number of GB above 0, such as 12, and not {text!r}")
    return size


def know_defaults(parser: argparse.ArgumentParser, *names: str) -> None:
    """Let `given` tell which of these options were given."""
    parser.set_defaults(usual={name: parser.get_default(name) for name in names})


def given(options: argparse.Namespace) -> list[str]:
    """The names of the options, of those that `know_defaults` was told of, that are not as they are by themselves."""
    return [name for name, usual in options.usual.items() if getattr(options, name) != usual]


def settings_of(pairs: list[str], settings: "type[BaseModel]") -> dict[str, Any]:
    """`steps=300` and the like, as the setting takes it; how a list was taken apart is said."""
    from lora_gui import typed

    split = [pair.partition("=") for pair in pairs]
    for pair, (_, equals, _) in zip(pairs, split, strict=True):
        if not equals:
            raise UserError(f"--set {pair!r} has no value.", "Write it as KEY=VALUE, such as --set steps=300.")
    values = typed.read(settings, ((key, text) for key, _, text in split))
    for name, value in values.items():
        if isinstance(value, tuple):
            note(f"{settings.model_fields[name].title}: {len(value)} ({', '.join(map(shown, value))}).")
    return values


def say(event: "Event") -> None:
    """Progress for people, apart from the result on standard output."""
    from lora_gui.protocol import events

    match event:
        case events.Step(step, of, loss, _, left):
            note(f"step {step} of {of}, loss {loss:.4f}, {left:.0f} s left")
        case events.Phase(name, done, of):
            note(f"{name} {done} of {of}" if of else name)
        case events.Note(sentence):
            note(sentence)


def once() -> Callable[[str], None]:
    """Says a sentence unless it is the one that was said last; nothing is no sentence."""
    last = [""]

    def said(sentence: str) -> None:
        if sentence and sentence != last[0]:
            last[0] = sentence
            note(sentence)

    return said


def note(sentence: str) -> None:
    """A sentence for people, apart from the result on standard output; the work goes on where nobody reads it."""
    with contextlib.suppress(OSError):
        print(printable(sentence), file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """Without signs that would steer a terminal, as names of strangers' files may hold; its lines are kept."""
    return "".join(sign if sign.isprintable() or sign in "\n\u200c\u200d" else " " for sign in text)
