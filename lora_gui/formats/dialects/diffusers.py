"""The dialect of diffusers and peft: `unet.<path>.lora_A.weight`, `.lora_B.weight`; alpha is folded into B."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lora_gui.formats.dialects.dialect import Dialect
from lora_gui.formats.lora_file import Kronecker, Layers
from lora_gui.formats.naming import PARTS, in_file
from lora_gui.formats.peft_settings import alpha_of

if TYPE_CHECKING:
    import torch


def build_exact(layers: Layers) -> dict[str, torch.Tensor]:
    """Tensors for a checkpoint of a run: exact values, alpha beside them and not folded."""
    tensors: dict[str, torch.Tensor] = {}
    for name, layer in layers.items():
        spelt = in_file(name)
        if isinstance(layer, Kronecker):
            tensors |= layer.in_file(spelt)
            continue
        tensors |= {
            f"{spelt}.lora_A.weight": layer.down,
            f"{spelt}.lora_B.weight": layer.up,
            f"{spelt}.alpha": layer.down.new_tensor(layer.alpha),
        }
        if layer.magnitude is not None:
            tensors[f"{spelt}.lora_magnitude_vector"] = layer.magnitude
    return tensors


DIALECT = Dialect(
    prefixes=lambda facts: {part: (f"{part}.",) for part in PARTS},
    suffixes={
        "lora_A.weight": "down",
        "lora_B.weight": "up",
        "lora_magnitude_vector.weight": "magnitude",  # transformers wants the ending
        "lora_magnitude_vector": "magnitude",
        "alpha": "alpha",
    },
    folds_alpha=True,
    alpha_of=alpha_of,
)
