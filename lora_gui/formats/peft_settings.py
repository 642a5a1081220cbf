"""The alphas that peft's own settings in the header give; they count where a file has no alpha of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

FIELD = "lora_adapter_metadata"  # peft's LoraConfig of each part, as JSON


def alpha_of(name: str, metadata: Mapping[str, str]) -> float | None:
    """Alpha of a layer by peft's LoraConfig in the header: its alpha_pattern first, else lora_alpha of its part."""
    part, _, path = name.partition(".")
    alphas = _alphas(metadata)
    patterns = alphas.get(f"{part}.alpha_pattern")
    if isinstance(patterns, dict):
        for pattern, alpha in patterns.items():
            if (path == pattern or path.endswith(f".{pattern}")) and isinstance(alpha, int | float):
                return float(alpha)
    alpha = alphas.get(f"{part}.lora_alpha")
    return float(alpha) if isinstance(alpha, int | float) else None


def _alphas(metadata: Mapping[str, str]) -> dict[str, Any]:
    try:
        found = json.loads(metadata.get(FIELD, "{}"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
