"""Our own record of a drawing, which says all that a second one needs."""

from __future__ import annotations

import json
from typing import Any

from lora_gui.errors import UserError
from lora_gui.formats.generation import PICTURES
from lora_gui.formats.header import plain
from lora_gui.formats.recall.recalled import Lora, Recalled, number
from lora_gui.settings import DrawSettings, StackEntry


def read(text: str) -> Recalled:
    """Raises UserError where the record is damaged."""
    try:
        said = json.loads(text)
        base, loras, given = (said.get(name) for name in ("base", "loras", "settings"))
        base, given = base if isinstance(base, dict) else {}, dict(given)
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise UserError("What this picture says of itself is damaged.", "Choose another copy of it.") from None
    rows = given.pop("stack", None)
    loras = _with_hashes(rows if isinstance(rows, list) else loras, loras)
    known = set(DrawSettings.model_fields) - {"stack", "count", *PICTURES}
    begun = {name: plain(str(given[name]))[:200] for name in PICTURES if given.get(name)}
    given = {name: value for name, value in given.items() if name not in PICTURES}
    unknown = sorted(str(name) for name in given if name not in known)
    left = [f"Not known in this version, and left out: {', '.join(unknown)[:200]}."] if unknown else []
    return Recalled(
        program="LoRA Studio",
        settings={name: value for name, value in given.items() if name in known},
        loras=tuple(map(_lora, loras)),
        base=plain(str(base.get("title", ""))),
        base_key=plain(str(base.get("key", ""))),
        base_hash=plain(str(base.get("sha256", "")))[:64],
        left=tuple(left),
        pictures=begun,
        exact=not left,
    )


def _with_hashes(rows: Any, counted: Any) -> list[dict[str, Any]]:
    """The rows of the stack, each with the hash by which those that counted are told."""
    known = {str(one.get("name")): one for one in _rows(counted)}
    named = [{"name": str(one.get("lora", one.get("name", "")))} | one for one in _rows(rows)]
    return [{"hash": known.get(one["name"], {}).get("hash", "")} | one for one in named]


def _rows(said: Any) -> list[dict[str, Any]]:
    return [one for one in said if isinstance(one, dict)] if isinstance(said, list) else []


def _lora(said: dict[str, Any]) -> Lora:
    parts = {name: number(said[name]) for name in StackEntry.model_fields if name in said and name not in _OWN}
    return Lora(
        plain(str(said.get("name", ""))),
        number(said.get("strength", 1.0)) or 0.0,
        plain(str(said.get("hash", "")))[:64],
        {name: value for name, value in parts.items() if value is not None},
    )


_OWN = ("lora", "strength")
