"""The dialect of diffusers and peft: `unet.<path>.lora_A.weight`, `.lora_B.weight`; alpha is folded into B."""

import json
from typing import Any

import torch

from lora_gui.formats.lora_file import Layer, Layers, Prefixes, Shapes, from_pieces, unknown_layers

_PIECES = {
    "lora_A.weight": "down",
    "lora_B.weight": "up",
    "lora.down.weight": "down",  # diffusers before 0.22
    "lora.up.weight": "up",
    "lora_linear_layer.down.weight": "down",
    "lora_linear_layer.up.weight": "up",
    "lora_magnitude_vector": "magnitude",
    "lora_magnitude_vector.weight": "magnitude",
    "alpha": "alpha",
}
_CONFIGURATION = "lora_adapter_metadata"  # peft's own settings, among them alpha, as JSON in the header


def parse(tensors: dict[str, torch.Tensor], metadata: dict[str, str], shapes: Shapes, prefixes: Prefixes) -> Layers:
    """Raises UserError where tensors have no place among the layers of `shapes`."""
    pieces: dict[str, dict[str, torch.Tensor]] = {}
    unknown = []
    for key, tensor in tensors.items():
        ending = next((ending for ending in _PIECES if key.endswith(f".{ending}")), "")
        name = _known(key.removesuffix(f".{ending}"), shapes)
        if ending and name:
            pieces.setdefault(name, {})[_PIECES[ending]] = tensor
        else:
            unknown.append(key)
    if unknown:
        raise unknown_layers(unknown, len(tensors))
    alphas = _alphas(metadata)
    for name, piece in pieces.items():
        if "alpha" not in piece and (alpha := _alpha_of(name, alphas)) is not None:
            piece["alpha"] = torch.tensor(alpha)
    return from_pieces(pieces)


def build(layers: Layers, prefixes: Prefixes) -> dict[str, torch.Tensor]:
    """The tensors of a file in fp32; alpha / rank is folded into B, so that strength 1 needs no further field."""
    tensors: dict[str, torch.Tensor] = {}
    for name, layer in layers.items():
        tensors |= _named(name, layer, layer.up * (layer.alpha / layer.rank))
    return tensors


def build_exact(layers: Layers) -> dict[str, torch.Tensor]:
    """As `build`, but with every number as it is and alpha beside them: what a checkpoint holds."""
    tensors: dict[str, torch.Tensor] = {}
    for name, layer in layers.items():
        tensors |= _named(name, layer, layer.up) | {f"{_spelt(name)}.alpha": torch.tensor(layer.alpha)}
    return tensors


def _named(name: str, layer: Layer, up: torch.Tensor) -> dict[str, torch.Tensor]:
    tensors = {f"{_spelt(name)}.lora_A.weight": layer.down, f"{_spelt(name)}.lora_B.weight": up}
    if layer.magnitude is not None:
        tensors[f"{_spelt(name)}.lora_magnitude_vector"] = layer.magnitude
    return tensors


def _spelt(name: str) -> str:
    """A module's name as files have it: transformers 5 lost a level that they still have."""
    part, _, path = name.partition(".")
    inserted = part.startswith("text_encoder") and not path.startswith("text_model.")
    return f"{part}.text_model.{path}" if inserted else name


def _known(name: str, shapes: Shapes) -> str:
    """The base's own name of a module, or nothing."""
    for spelt in (name, name.replace(".text_model.", ".", 1)):
        if spelt in shapes:
            return spelt
    return ""


def _alphas(metadata: dict[str, str]) -> dict[str, Any]:
    try:
        found = json.loads(metadata.get(_CONFIGURATION, "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _alpha_of(name: str, alphas: dict[str, Any]) -> float | None:
    """Alpha of a module by peft's own settings: a pattern for it first, else the one for its part."""
    part, _, path = name.partition(".")
    patterns = alphas.get(f"{part}.alpha_pattern")
    if isinstance(patterns, dict):
        for pattern, alpha in patterns.items():
            if (path == pattern or path.endswith(f".{pattern}")) and isinstance(alpha, int | float):
                return float(alpha)
    alpha = alphas.get(f"{part}.lora_alpha")
    return float(alpha) if isinstance(alpha, int | float) else None
