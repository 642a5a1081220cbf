"""Words that change from drawing to drawing: `{a|b|c}`, and `__name__` for a line of a list of the user's.

As in Dynamic Prompts: `{3::a|b}` takes a three times as often, `{2$$a|b|c}` two of them, `{1-2$$ and $$a|b}` one or two
with a word between.
"""

import errno
import random
import re
from pathlib import Path

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio

_CHOICE = re.compile(r"\{([^{}]*(?:\||\$\$)[^{}]*)\}")
_LIST = re.compile(r"(?<!\w)__([\w-]+(?:/[\w-]+)*)__(?!\w)")
# The least, the most, what stands between, the options.
_SEVERAL = re.compile(r"\s*(\d{1,4})?(?:(-)(\d{1,4})?)?\$\$(?:([^$|]*)\$\$)?(.*)", re.DOTALL)
_WEIGHED = re.compile(r"\s*(\d{1,9}(?:\.\d{1,9})?|\.\d{1,9})::(.*)", re.DOTALL)
_MOST = 200  # choices in a prompt, those of lists that name lists too
_LARGEST = 1_000_000  # bytes of a list


def folder(studio: Studio) -> Path:
    """Where the lists lie: `colours.txt` is `__colours__`, one choice a line; `dark/red.txt` is `__dark/red__`."""
    return studio.home / "wildcards"


def chosen(studio: Studio, text: str, seed: str) -> str:
    """The text with one of each choice; the same for the same `seed` and lists. Raises UserError where a list is gone
    or where lists name each other without an end."""
    dice = random.Random(seed)
    for _ in range(_MOST):
        if choice := _CHOICE.search(text):
            new = _choice(studio, choice[1], dice)
        elif choice := _LIST.search(text):
            new = _taken(_lines(studio, choice[1]), dice)
        else:
            return text
        text = text[: choice.start()] + new + text[choice.end() :]
    raise UserError(f"The prompt has more than {_MOST} choices, or lists that name each other.", "Take some out.")


def _choice(studio: Studio, inside: str, dice: random.Random) -> str:
    """One of what stands between braces, or several of it, none twice."""
    several = _SEVERAL.fullmatch(inside)
    if several is None:
        return _taken(inside.split("|"), dice)
    least, ranges, most, between, rest = several.groups()
    one = _LIST.fullmatch(rest.strip())
    options = _lines(studio, one[1]) if one else rest.split("|")
    low = int(least or (0 if ranges else 1))
    high = int(most or len(options)) if ranges else low
    count, found = min(dice.randint(min(low, high), max(low, high)), len(options)), list[str]()
    for _ in range(count):
        found.append(_taken(options, dice, gone=True))
    return (", " if between is None else between).join(found)


def _taken(options: list[str], dice: random.Random, gone: bool = False) -> str:
    """One of the options, by their weights, 1 where they name none; `gone` takes it out of them."""
    weighed = [_WEIGHED.fullmatch(one) for one in options]
    weights = [float(one[1]) if one else 1.0 for one in weighed]
    if any(weighed) and max(weights) > 0:
        at = dice.choices(range(len(options)), weights)[0]
    else:
        at = dice.randrange(len(options))
    found, one = options[at], weighed[at]
    if gone:
        del options[at]
    return one[2] if one else found


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
