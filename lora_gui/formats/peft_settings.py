"""The alphas that peft's own settings give, in the header or beside a file; they count where it has no alpha itself."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lora_gui import files
from lora_gui.errors import UserError, shown
from lora_gui.protocol.task_folder import BROUGHT, PEFT_SETTINGS, PEFT_WEIGHTS

FIELD = "lora_adapter_metadata"  # peft's LoraConfig of each part, as JSON; without its part where names have none
_STEP = re.compile(r"(\\[dw.]|\[0-9\]|[\w.-])([*+?]?)")  # of a pattern: what one sign is, and how often it comes
_PLAIN = re.compile(r"(\^?(?:\w|-|\\?\.)+)\$?")  # a path or its end, where any sign may be a dot
LONGEST = 500_000  # characters of these settings, which may name every layer


def alpha_of(name: str, metadata: Mapping[str, str], rank: int) -> float | None:
    """Alpha of a layer of this rank by peft's LoraConfig: its alpha_pattern first, else lora_alpha of its part.

    That of a rank-stabilised LoRA (Kalajdzievski 2023) is what gives alpha / rank its alpha / sqrt(rank). Raises
    UserError where a pattern is not read here.
    """
    alpha = _number(name, metadata, "lora_alpha", "alpha_pattern")
    return alpha * math.sqrt(rank) if alpha is not None and _said(name, metadata, "use_rslora") is True else alpha


def scale_of(name: str, metadata: Mapping[str, str]) -> float | None:
    """Alpha / rank of a layer by peft's LoHaConfig or LoKrConfig, which scales whole factors by it too; None where the
    settings are of another kind. Raises UserError as `alpha_of` does."""
    if _said(name, metadata, "peft_type") not in ("LOHA", "LOKR"):
        return None
    alpha, rank = (_number(name, metadata, *keys) for keys in (("alpha", "alpha_pattern"), ("r", "rank_pattern")))
    return alpha / rank if alpha is not None and rank else None


def _said(name: str, metadata: Mapping[str, str], key: str) -> Any:
    """What the settings of a layer's part say, or those that name no part."""
    settings = _settings(metadata.get(FIELD, ""))
    return settings.get(f"{name.partition('.')[0]}.{key}", settings.get(key))


def _number(name: str, metadata: Mapping[str, str], key: str, by_pattern: str) -> float | None:
    """A number for a layer: that of the first pattern which names it, else the one for all."""
    part, _, path = name.partition(".")
    plain, others = _patterns(metadata.get(FIELD, ""), part, by_pattern)
    if plain or others:
        # transformers 5 has lost a level of some text encoders, and settings have it as it was
        paths = {path, path.removeprefix("text_model."), f"text_model.{path}"} if part.startswith("text_") else {path}
        ends = {one.split(".", n)[-1] for one in paths for n in range(one.count(".") + 1)}
        found = [plain[one] for one in (*ends, *(f"^{one}" for one in paths)) if one in plain]
        found += [(place, own) for pattern, place, own in others if any(_names(pattern, one) for one in paths)]
        if found:
            return min(found)[1]
    number = _said(name, metadata, key)
    return number if isinstance(number, float) else None


@functools.lru_cache(maxsize=16)
def _patterns(text: str, part: str, key: str) -> tuple[dict[str, tuple[int, float]], list[tuple[str, int, float]]]:
    """The place of each pattern among all, and its number: of those that are a path or its end, and of the others."""
    said = _said(f"{part}.", {FIELD: text}, key)
    plain: dict[str, tuple[int, float]] = {}
    others = []
    for place, (pattern, own) in enumerate(said.items() if isinstance(said, dict) else ()):
        if isinstance(own, float) and (path := _PLAIN.fullmatch(pattern)):
            plain.setdefault(path[1].replace("\\", ""), (place, own))
        elif isinstance(own, float):
            others.append((pattern, place, own))
    return plain, others


def _names(pattern: str, path: str) -> bool:
    """Whether a pattern of peft is one for this path: `(.*\\.)?(pattern)$`, in steps that no pattern makes many."""
    text = pattern.removeprefix("^").removesuffix("$")
    steps = list(_STEP.finditer(text))
    if "".join(step[0] for step in steps) != text:
        what = f"peft's settings give numbers by {shown(pattern)}, which is not read here."
        raise UserError(what, "Name the layers in alpha_pattern and rank_pattern by their whole paths.")
    places = {0} | (set() if pattern.startswith("^") else {n + 1 for n, sign in enumerate(path) if sign == "."})
    for one, times in (step.groups() for step in steps):
        reached = set(places) if times in ("*", "?") else set[int]()
        while places := {n + 1 for n in places if n < len(path) and re.fullmatch(one, path[n])} - reached:
            reached |= places
            if times in ("", "?"):
                break
        places = reached
    return len(path) in places


def beside(path: Path) -> str:
    """The settings that peft has put beside a file, as JSON; empty where there are none that can be read."""
    place, text = _place(path), ""
    with contextlib.suppress(OSError, ValueError):
        if place:
            text = files.read_small(place, LONGEST).decode("utf-8")
    return text if _settings(text) else ""


def state_beside(path: Path) -> tuple[int, ...]:
    """What tells one state of these settings from the next."""
    place = _place(path)
    with contextlib.suppress(OSError, ValueError):
        if place:
            stat = place.stat()
            return stat.st_size, stat.st_mtime_ns
    return ()


def _place(path: Path) -> Path | None:
    return path.with_name(PEFT_SETTINGS) if path.name in (PEFT_WEIGHTS, BROUGHT.lora) else None


@functools.lru_cache(maxsize=4)  # each layer of a file asks
def _settings(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}", parse_int=float)  # an int may be larger than any float
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
