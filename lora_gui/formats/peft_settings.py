"""The alphas that peft's own settings give, in the header or beside a file; they count where it has no alpha itself."""

from __future__ import annotations

import contextlib
import functools
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lora_gui import files
from lora_gui.protocol.task_folder import PEFT_SETTINGS, PEFT_WEIGHTS

FIELD = "lora_adapter_metadata"  # peft's LoraConfig of each part, as JSON; without its part where names have none
LONGEST = 500_000  # characters of these settings, which may name every layer


def alpha_of(name: str, metadata: Mapping[str, str], rank: int) -> float | None:
    """Alpha of a layer of this rank by peft's LoraConfig: its alpha_pattern first, else lora_alpha of its part.

    That of a rank-stabilised LoRA (Kalajdzievski 2023) is what gives alpha / rank its alpha / sqrt(rank).
    """
    part, _, path = name.partition(".")
    settings = _settings(metadata.get(FIELD, ""))

    def said(key: str) -> Any:
        return settings.get(f"{part}.{key}", settings.get(key))

    alpha, patterns = said("lora_alpha"), said("alpha_pattern")
    for pattern, own in patterns.items() if isinstance(patterns, dict) else ():
        if (path == pattern or path.endswith(f".{pattern}")) and isinstance(own, float):
            alpha = own
            break
    if not isinstance(alpha, float):
        return None
    return alpha * math.sqrt(rank) if said("use_rslora") is True else alpha


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
    return path.with_name(PEFT_SETTINGS) if path.name == PEFT_WEIGHTS else None


@functools.lru_cache(maxsize=4)  # each layer of a file asks
def _settings(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}", parse_int=float)  # an int may be larger than any float
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
