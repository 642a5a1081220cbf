"""The only error that is shown to the user: one sentence saying what is wrong, one saying what to do."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can mend. `what` says what is wrong, `remedy` what to do; each one plain sentence.

    `cause` names what a retry can do something about, as in `events.Failed`.
    """

    def __init__(self, what: str, remedy: str, cause: str = "") -> None:
        super().__init__(f"{what} {remedy}")
        self.what = what
        self.remedy = remedy
        self.cause = cause


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence naming what is probably meant: `Did you mean 'rank'?`, or the whole list where nothing is near."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else f"Choose one of: {', '.join(known)}."
