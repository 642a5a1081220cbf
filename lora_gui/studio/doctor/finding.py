"""What the doctor finds: its kinds, how bad each is, and what can be pressed to mend it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["high", "medium", "low"]
SEVERITIES: tuple[Severity, ...] = ("high", "medium", "low")


@dataclass(frozen=True)
class Kind:
    """`many` says it of `{n}` pictures of `{of}`; `button` is what mends it, if anything does."""

    severity: Severity
    many: str = ""
    button: str = ""
    remedy: str = ""  # of several pictures, where it is said otherwise of one
    badge: str = ""  # a word on the picture


# In the order in which they are worth mending, within a severity.
KINDS = {
    "same": Kind("high", "{n} pictures show what others show", "Remove them", badge="same"),
    "watermark": Kind("high", "{n} pictures have the same mark", badge="mark"),
    "bar": Kind("high", "{n} pictures have the same bar", badge="bar"),
    "border": Kind("high", "{n} pictures have borders", "Crop the borders",
                   "Crop them: a border in the pictures becomes one in the drawings.", "border"),
    "few": Kind("high"),
    "alike_captions": Kind("high"),
    "long_trigger": Kind("high", "{n} captions are not read to their end", badge="caption"),
    "unread": Kind("high", "{n} captions are longer than is read",
                   remedy="Shorten them, or say first what matters most.", badge="caption"),
    "blurred": Kind("medium", "{n} pictures are blurred", "Remove them",
                    "Remove them, or use sharper ones: blur is learnt.", "blurred"),
    "outlier": Kind("medium", "{n} pictures look unlike the rest", "Remove them",
                    "Remove them, unless they are meant.", "unlike"),
    "styles": Kind("medium"),
    "small": Kind("medium", "{n} of {of} pictures are small for this base", badge="small",
                  remedy="Use larger copies, or leave them out: what they lack in detail is learnt too."),
    "squeezed": Kind("medium", "{n} pictures are squeezed hard", "Remove them",
                     "Use better copies: the blocks and smears are learnt.", "squeezed"),
    "cropped": Kind("medium", "Much of {n} pictures is cut off", badge="cut"),
    "background": Kind("medium"),
    "samey": Kind("medium"),
    "words": Kind("medium", button="Take it out of the captions"),
    "dark": Kind("low", "{n} pictures are very dark", "Remove them",
                 "Brighten them, or remove them, unless they are meant so.", "dark"),
    "washed": Kind("low", "{n} pictures are washed out", "Remove them",
                   "Give them more contrast, or remove them, unless they are meant so.", "washed out"),
    "uncaptioned": Kind("low"),
    "trigger": Kind("low", button="Put it into the captions"),
}  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """`says` is what is wrong, `remedy` what to do about it: a sentence each, with the names that the user knows."""

    kind: str  # in KINDS
    says: str
    remedy: str
    word: str = ""  # that is meant, where it is one of captions
    severity: Severity = field(default="low")

    def __post_init__(self) -> None:
        object.__setattr__(self, "severity", KINDS[self.kind].severity)

    def told(self) -> dict[str, str]:
        """As the command line prints it."""
        return {"kind": self.kind, "severity": self.severity, "says": self.says, "remedy": self.remedy}


@dataclass(frozen=True)
class Line:
    """All of a kind in a sentence. `files` are the pictures it speaks of, `each` what is said of each."""

    kind: str
    says: str
    remedy: str
    files: tuple[str, ...] = ()
    each: tuple[str, ...] = ()
    word: str = ""

    @property
    def matters(self) -> bool:
        """Whether it is more than a hint."""
        return KINDS[self.kind].severity != "low"

    @property
    def button(self) -> str:
        button = KINDS[self.kind].button
        return button.replace("them", "it").replace("borders", "border") if len(self.files) == 1 else button


@dataclass(frozen=True)
class Judgement:
    """What was found: for each picture, by its file, and for the set as a whole."""

    pictures: dict[str, tuple[Finding, ...]]
    set: tuple[Finding, ...]

    def told(self) -> dict[str, Any]:
        """As the command line prints it."""
        each = [{"file": file, "findings": [one.told() for one in found]} for file, found in self.pictures.items()]
        return {"pictures": each, "set": [one.told() for one in self.set]}

    def lines(self) -> list[Line]:
        """Everything, a sentence for each kind and each word, the worst first."""
        by_kind: dict[str, list[tuple[str, Finding]]] = {}
        for file, found in self.pictures.items():
            for one in found:
                by_kind.setdefault(one.kind, []).append((file, one))
        lines = [_line(kind, pairs, len(self.pictures)) for kind, pairs in by_kind.items()]
        said = {line.kind for line in lines}
        lines += [Line(one.kind, one.says, one.remedy, word=one.word) for one in self.set if one.kind not in said]
        return sorted(lines, key=lambda line: _rank(line.kind))

    def worst_first(self, file: str) -> list[Finding]:
        """What was found of a picture, the worst first."""
        return sorted(self.pictures.get(file, ()), key=lambda one: _rank(one.kind))


def _line(kind: str, pairs: Sequence[tuple[str, Finding]], count: int) -> Line:
    files, each = tuple(file for file, _ in pairs), tuple(one.says for _, one in pairs)
    if len(pairs) == 1:
        return Line(kind, each[0], pairs[0][1].remedy, files)
    says = KINDS[kind].many.format(n=len(pairs), of=count) + "."
    return Line(kind, says, KINDS[kind].remedy or pairs[0][1].remedy, files, each)


def _rank(kind: str) -> tuple[int, int]:
    return SEVERITIES.index(KINDS[kind].severity), list(KINDS).index(kind)


def listed(names: Iterable[str], most: int = 3) -> str:
    """`a, b and 4 more`."""
    names = list(names)
    if len(names) <= most:
        return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else ""
    return f"{', '.join(names[:most])} and {len(names) - most} more"
