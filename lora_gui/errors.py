"""The only error that is shown to the user: one sentence saying what is wrong, one saying what to do."""

import difflib
from collections.abc import Iterable
from typing import Any

QUOTES = "'\""


class UserError(Exception):
    """Something the user can mend. `what` says what is wrong, `remedy` what to do; each one plain sentence.

    `cause` names what a retry can do something about, as in `events.Failed`.
    """

    def __init__(self, what: str, remedy: str, cause: str = "") -> None:
        super().__init__(f"{what} {remedy}")
        self.what = what
        self.remedy = remedy
        self.cause = cause


class SettingError(UserError):
    """A setting that cannot be as it was given. `setting` is its name, `instead` the nearest value that it can have.

    `values` are those that mend it where that takes several settings.
    """

    def __init__(
        self, what: str, remedy: str, setting: str, instead: Any = None, values: dict[str, Any] | None = None
    ) -> None:
        super().__init__(what, remedy)
        self.setting = setting
        self.instead = instead
        self.values = values or {}


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence naming what is probably meant: `Did you mean 'rank'?`, or the whole list where nothing is near."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else f"Choose one of: {', '.join(known)}."


def legible(text: str) -> str:
    """A text as pages and JSON can hold it: a ? for each byte of a name that is not UTF-8, and each half letter."""
    return text.encode("utf-8", "replace").decode("utf-8")


def shown(value: Any, most: int = 60) -> str:
    """A value as it stands in a sentence: quoted where it is text, and cut short."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # more digits than Python writes out, or nested without end
        return "such a value"
    return text if len(text) <= most else f"{text[:most]}...{text[0] if text[0] in QUOTES else ''}"
