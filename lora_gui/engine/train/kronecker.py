"""LoKr while it learns: the update of a layer as a Kronecker product, which is never multiplied out.

`y = x W^T + s x kron(C, B A)^T` (Yeh et al. 2023): of x as (b, d) each row goes through A and B, and C mixes the rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from torch.nn.functional import conv2d, linear


@dataclass(frozen=True)
class Product:
    """The forward of one layer, whose gradients autograd adds to their buffers."""

    layer: BaseTunerLayer
    factors: tuple[torch.Tensor, ...]  # A (rank, d, ...), B (c, rank), C (a, b); or B A whole, (c, d, ...), and C
    scale: float

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        base = self.layer.get_base_layer()
        y: torch.Tensor = base(x)
        if self.layer.disable_adapters:
            return y
        update = self._convolved(x, base) if isinstance(base, nn.Conv2d) else self._multiplied(x)
        return torch.add(y, update, alpha=self.scale)

    def _multiplied(self, x: torch.Tensor) -> torch.Tensor:
        down, *up, first = self.factors
        low = linear(x.unflatten(-1, (first.shape[1], -1)), down)  # (..., b, rank)
        mixed = linear(low.transpose(-1, -2), first).transpose(-1, -2)  # (..., a, rank)
        return (linear(mixed, up[0]) if up else mixed).flatten(-2)

    def _convolved(self, x: torch.Tensor, like: nn.Conv2d) -> torch.Tensor:
        down, *up, first = self.factors
        count, (outs, inputs) = len(x), first.shape
        kernel = down.view(len(down), -1, *like.kernel_size)
        apart = x.reshape(count * inputs, -1, *x.shape[2:])
        low = conv2d(apart, kernel, None, like.stride, like.padding, like.dilation)  # (B * b, rank, h, w)
        mixed = (first @ low.reshape(count, inputs, -1)).view(count * outs, *low.shape[1:])
        return (conv2d(mixed, up[0][:, :, None, None]) if up else mixed).reshape(count, -1, *low.shape[2:])
