"""The dialect of diffusers and peft: `unet.<path>.lora_A.weight`, `.lora_B.weight`; alpha is folded into B."""

import json
from typing import Any

import torch

from lora_gui.formats.dialects.dialect import Dialect
from lora_gui.formats.lora_file import Layers
from lora_gui.formats.naming import PARTS, in_file

_CONFIGURATION = "lora_adapter_metadata"  # peft's own settings, among them alpha, as JSON in the header


def build_exact(layers: Layers) -> dict[str, torch.Tensor]:
    """Tensors for a checkpoint of a run: exact values, alpha beside them and not folded."""
    tensors: dict[str, torch.Tensor] = {}
    for name, layer in layers.items():
        spelt = in_file(name)
        tensors |= {
            f"{spelt}.lora_A.weight": layer.down,
            f"{spelt}.lora_B.weight": layer.up,
            f"{spelt}.alpha": torch.tensor(layer.alpha),
        }
        if layer.magnitude is not None:
            tensors[f"{spelt}.lora_magnitude_vector"] = layer.magnitude
    return tensors


def _alpha_of(name: str, metadata: dict[str, str]) -> float | None:
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


def _alphas(metadata: dict[str, str]) -> dict[str, Any]:
    try:
        found = json.loads(metadata.get(_CONFIGURATION, "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


DIALECT = Dialect(
    prefixes=lambda facts: {part: (f"{part}.",) for part in PARTS},
    suffixes={
        "lora_A.weight": "down",
        "lora_B.weight": "up",
        "lora_magnitude_vector": "magnitude",
        "lora_magnitude_vector.weight": "magnitude",
        "alpha": "alpha",
    },
    folds_alpha=True,
    alpha_of=_alpha_of,
)
