"""The contract card of a LoRA as it stands in its header: what it owns, what of, and whose the pictures are.

It is what the maker recorded, never a proof: metadata is unsigned. The private form, the usual one, counts pictures by
their rights; the open form names each by its digest, so that anybody can ask whether a picture was learnt from.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from lora_gui import __version__
from lora_gui.days import day
from lora_gui.formats.header import plain

Rights = Literal["own", "licensed", "permission", "unknown"]  # of a picture
People = Literal["none", "self", "consented", "unknown"]  # who is shown, and whether they agreed
Kind = Literal["style", "character", "concept"]
ORIGIN, OWNS, RIGHTS, CONSENT = "studio.origin", "studio.owns", "studio.rights", "studio.consent"
USE, EACH, LICENCE = "studio.allowed_use", "studio.pictures", "modelspec.license"
LONGEST = 300  # characters of a text
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MOST = 5000  # pictures of one LoRA

IN_WORDS: dict[Rights, str] = {
    "own": "my own",
    "licensed": "under a licence that allows it",
    "permission": "with their maker's permission",
    "unknown": "not known",
}
PEOPLE: dict[People, str] = {
    "none": "Nobody can be recognised in the pictures.",
    "self": "They show the maker alone.",
    "consented": "Everybody they show has agreed.",
    "unknown": "Whether the people they show have agreed is not recorded.",
}


@dataclass(frozen=True)
class Contract:
    """`rights` counts the pictures by theirs; `each` says it of single ones, by digest, in the open form."""

    owns: Kind | Literal[""] = ""
    scope: str = ""  # in a sentence
    base: str = ""  # title
    repo: str = ""  # of the base on the model hub
    dataset: str = ""  # digest of all pictures
    pictures: int = 0
    rights: dict[Rights, int] = field(default_factory=dict)
    people: People = "unknown"
    licence: str = ""  # that the LoRA is given under
    allowed_use: str = ""
    confirmed: str = ""  # the day its maker said so, as ISO text; empty where nobody did
    each: dict[str, Rights] = field(default_factory=dict)

    @property
    def unknown(self) -> int:
        """Of how many pictures the rights are not known; all, where nobody said anything."""
        told = sum(count for kind, count in self.rights.items() if kind != "unknown")
        return max(self.pictures - told, self.rights.get("unknown", 0)) if self.confirmed else max(self.pictures, 1)

    @property
    def holds_back(self) -> list[str]:
        """Why it is not published yet, in sentences; empty where nothing speaks against it."""
        if not self.confirmed:
            return ["Nobody has said yet whose the pictures are that it learnt from."]
        found = [f"The rights of {_many(self.unknown, 'picture')} are not known."] * bool(self.unknown)
        return found + ["Whether the people in the pictures agreed is not known."] * (self.people == "unknown")


def digest_of(pictures: Iterable[str]) -> str:
    """The digest of a data set: sha256 of the sorted digests of its pictures."""
    return hashlib.sha256("\n".join(sorted(pictures)).encode("ascii")).hexdigest()


def origin(base: str, repo: str, pictures: Iterable[str]) -> dict[str, str]:
    """The field that says what a LoRA came of; none where a picture has no digest."""
    digests = list(pictures)
    if not digests or not all(digests):
        return {}
    return {ORIGIN: _origin(base, repo, len(digests), digest_of(digests))}


def fields_of(contract: Contract, is_open: bool = False) -> dict[str, str | None]:
    """The header fields of a card; None takes one out. `is_open` names the pictures by their digests."""
    came_of = _origin(contract.base, contract.repo, contract.pictures, contract.dataset)
    return {
        ORIGIN: came_of if contract.dataset else None,
        OWNS: _json({"kind": contract.owns, "scope": contract.scope}) if contract.owns or contract.scope else None,
        RIGHTS: _json({"pictures": contract.rights, "confirmed": contract.confirmed}) if contract.confirmed else None,
        CONSENT: contract.people if contract.confirmed else None,
        USE: contract.allowed_use or None,
        LICENCE: contract.licence or None,
        EACH: _json(contract.each) if is_open and contract.each else None,
    }


def read(fields: Mapping[str, str]) -> Contract:
    """The card in the header of a file, strangers' text: whatever is not as it should be is as if it were not there."""
    origin, owns, rights = (_table(fields.get(name, "")) for name in (ORIGIN, OWNS, RIGHTS))
    dataset, kind, each = origin.get("dataset"), owns.get("kind"), _table(fields.get(EACH, ""))
    counts: Any = rights.get("pictures") if isinstance(rights.get("pictures"), dict) else {}
    people: Any = fields.get(CONSENT)
    return Contract(
        owns=kind if isinstance(kind, str) and kind in get_args(Kind) else "",  # type: ignore[arg-type]
        scope=_text(owns.get("scope")),
        base=_text(origin.get("base")),
        repo=_text(origin.get("repo")),
        dataset=dataset if isinstance(dataset, str) and _DIGEST.fullmatch(dataset) else "",
        pictures=_count(origin.get("pictures")),
        rights={one: _count(counts.get(one)) for one in get_args(Rights) if _count(counts.get(one))},
        people=people if people in get_args(People) else "unknown",
        licence=_text(fields.get(LICENCE)),
        allowed_use=_text(fields.get(USE)),
        confirmed=_day(rights.get("confirmed")),
        each={one: of for one, of in [*each.items()][:_MOST] if _DIGEST.fullmatch(one) and of in get_args(Rights)},
    )


def in_words(contract: Contract) -> list[str]:
    """The card in sentences, for people; empty where it says nothing."""
    if not contract.confirmed and not contract.owns:
        return []
    what = f"It is a {contract.owns}{f': {contract.scope}' if contract.scope else '.'}" if contract.owns else ""
    learnt = f"It learnt from {_many(contract.pictures, 'picture')}" if contract.pictures else ""
    of = f"{learnt}{_whose(contract)}." if learnt else ""
    people = PEOPLE[contract.people] if contract.confirmed else ""
    use = f"Allowed use: {contract.allowed_use}" if contract.allowed_use else ""
    when = f"Its maker recorded this on {day(contract.confirmed)}; it is not proved." if contract.confirmed else ""
    return [one for one in (what, of, people, use, when) if one]


def _whose(contract: Contract) -> str:
    """`, all my own`, or how many of each kind."""
    there = {kind: count for kind, count in contract.rights.items() if count}
    if len(there) == 1 and contract.pictures > 1 and contract.pictures in there.values():
        return f", all {IN_WORDS[next(iter(there))]}"
    return f": {', '.join(f'{count} {IN_WORDS[kind]}' for kind, count in there.items())}" if there else ""


def _origin(base: str, repo: str, pictures: int, dataset: str) -> str:
    app = f"LoRA Studio {__version__}"
    return _json({"app": app, "base": base, "repo": repo, "pictures": pictures, "dataset": dataset})


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _table(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(value: Any) -> str:
    return plain(value, LONGEST).strip() if isinstance(value, str) else ""


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST else 0


def _day(value: Any) -> str:
    return value if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value) else ""


def _many(count: int, one: str) -> str:
    return f"{count} {one}{'' if count == 1 else 's'}"
