"""DoRA while it learns: what a layer gives is scaled so that each output's weights have the length that is learnt.

`y = m / |W + s B A| * (W + s B A) x + b` (Liu et al. 2024, eq. 5); the norm over the inputs takes no gradient (their
section 4.3). It comes from the factors: |w + s b A|^2 = |w|^2 + 2 s b (A w^T) + s^2 b (A A^T) b^T, so that no matrix as
large as the layer's is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from lora_gui.engine.load.quantize import QuantizedLinear


@dataclass
class Decomposed:
    """The forward of one layer, with what its plain LoRA makes of it; gradients are added to their buffer at once."""

    layer: BaseTunerLayer
    plain: Callable[[torch.Tensor], torch.Tensor]  # W x + b + s B A x
    down: torch.Tensor  # (rank, ...), compute dtype
    up: torch.Tensor  # (out, rank, ...)
    scale: float
    magnitude: torch.Tensor  # (out,) fp32
    gradient: torch.Tensor  # (out,) fp32
    _squares: list[torch.Tensor] = field(default_factory=list)  # |w|^2 of each output, once the weights were there

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.plain(x)
        if self.layer.disable_adapters:
            return y
        scaled: torch.Tensor = _Scaled.apply(y, self.norms(), self)
        return scaled

    @torch.no_grad()
    def norms(self) -> torch.Tensor:
        """Of the weights as they are with the LoRA, (out,) fp32."""
        base, down, up = self.layer.get_base_layer(), self.down.flatten(1), self.up.flatten(1)
        weight = base.dequantised(down.dtype) if isinstance(base, QuantizedLinear) else base.weight.flatten(1)
        if not self._squares:
            self._squares.append(squares(weight))
        crossed = ((weight @ down.t()).float() * up.float()).sum(1)
        own = (up.float() @ (down.float() @ down.float().t()) * up.float()).sum(1)
        return (self._squares[0] + 2 * self.scale * crossed + self.scale**2 * own).clamp(min=0).sqrt()

    def along(self, values: torch.Tensor) -> torch.Tensor:
        """(out,) shaped so that it multiplies what the layer gives."""
        return values.view(-1, 1, 1) if isinstance(self.layer.get_base_layer(), nn.Conv2d) else values


def squares(weight: torch.Tensor) -> torch.Tensor:
    """The squared norm of each output's weights, (out,) fp32."""
    return weight.flatten(1).float().square().sum(1)


class _Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: torch.Tensor, norms: torch.Tensor, own: Decomposed) -> torch.Tensor:
        factors, bias = own.magnitude / norms, own.layer.get_base_layer().bias
        ctx.save_for_backward(y, norms)
        ctx.own = own
        scaled = y * own.along(factors)  # fp32, where y is less
        if bias is not None:
            scaled = scaled + own.along((1 - factors) * bias.float())
        return scaled.to(y.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (y, norms), own, (grad,) = ctx.saved_tensors, ctx.own, grads
        bias = own.layer.get_base_layer().bias
        unbiased = y if bias is None else y - own.along(bias.to(y.dtype))
        outputs = 1 if isinstance(own.layer.get_base_layer(), nn.Conv2d) else y.ndim - 1
        rest = [n for n in range(y.ndim) if n != outputs]
        own.gradient.add_((grad * unbiased).sum(rest, dtype=torch.float32) / norms)
        return (grad * own.along(own.magnitude / norms)).to(grad.dtype), None, None
