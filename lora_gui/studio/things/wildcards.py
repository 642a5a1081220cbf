"""Words that change from drawing to drawing: `{a|b|c}`, and `__name__` for a line of a list of the user's."""

import errno
import random
import re
from pathlib import Path

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio

_CHOICE = re.compile(r"\{([^{}]*\|[^{}]*)\}")
_LIST = re.compile(r"(?<!\w)__([\w-]+)__(?!\w)")
_MOST = 200  # choices in a prompt, those of lists that name lists too
_LARGEST = 1_000_000  # bytes of a list


def folder(studio: Studio) -> Path:
    """Where the lists lie: `colours.txt` is `__colours__`, one choice a line."""
    return studio.home / "wildcards"


def chosen(studio: Studio, text: str, seed: str) -> str:
    """The text with one of each choice; the same for the same `seed` and lists. Raises UserError where a list is gone
    or where lists name each other without an end."""
    dice = random.Random(seed)
    for _ in range(_MOST):
        if choice := _CHOICE.search(text):
            options = choice[1].split("|")
        elif choice := _LIST.search(text):
            options = _lines(studio, choice[1])
        else:
            return text
        text = text[: choice.start()] + options[dice.randrange(len(options))] + text[choice.end() :]
    raise UserError(f"The prompt has more than {_MOST} choices, or lists that name each other.", "Take some out.")


def certain(text: str) -> str:
    """What stands in the text whatever is chosen of its choices."""
    while (less := _CHOICE.sub("", text)) != text:
        text = less
    return text


def _lines(studio: Studio, name: str) -> list[str]:
    """The lines of a list, empty ones and those that begin with # left out."""
    path = folder(studio) / f"{name}.txt"
    try:
        text = files.read_small(path, _LARGEST).decode("utf-8-sig", errors="replace")
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise UserError(f"The list {path.name} is too long.", "Keep it under a megabyte.") from None
        what = f"There is no list called {name}, which the prompt asks for."
        raise UserError(what, f"Put its words into {path}, one a line, or write {{a|b|c}}.") from None
    lines = [line.strip() for line in text.splitlines()]
    found = [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise UserError(f"The list {path.name} is empty.", "Put its words into it, one a line.")
    return found
