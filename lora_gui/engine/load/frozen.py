"""The backward of frozen linear layers, whichever way their weight is held: plain, packed or quantised."""

from __future__ import annotations

import torch
from torch import nn

from lora_gui.engine.load.packed import packed_of
from lora_gui.engine.load.quantize import QuantizedLinear


def input_gradient(layer: nn.Linear, grad: torch.Tensor) -> torch.Tensor:
    """The gradient of the input (tokens, in), a new tensor, from that of the output (tokens, out)."""
    if packed := packed_of(layer):
        return packed.back(grad)
    return grad @ _weight(layer, grad)


def add_input_gradient(layer: nn.Linear, grad: torch.Tensor, into: torch.Tensor) -> None:
    """Add it to `into` (tokens, in)."""
    if packed := packed_of(layer):
        into.add_(packed.back(grad))
    else:
        into.addmm_(grad, _weight(layer, grad))


def _weight(layer: nn.Linear, grad: torch.Tensor) -> torch.Tensor:
    return layer.dequantised(grad.dtype) if isinstance(layer, QuantizedLinear) else layer.weight
