"""The low-rank update of layers that learn, fused with the frozen layer, so that little is saved for the backward.

`y = x W^T + s (x A^T) B^T` saves x and x A^T alone, where peft's wrapper saves its input twice and casts it (Hu et al.
2021 for the formula). Gradients are added to their buffers at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from lora_gui.engine.load.packed import packed_of
from lora_gui.engine.load.quantize import QuantizedLinear


def side_by_side(pieces: Sequence[torch.Tensor]) -> torch.Tensor:
    """Matrices that lie one after another in memory, as one (rows of all, columns)."""
    first = pieces[0].flatten(1)
    return first.as_strided((sum(len(one) for one in pieces), first.shape[1]), first.stride())


@dataclass
class Shared:
    """The update of linear layers that are given the same x. Gradients are added to their buffers at once."""

    frozen: Sequence[Any]  # nn.Linear or Pointwise
    down: torch.Tensor  # (layers * rank, in)
    down_gradient: torch.Tensor
    ups: Sequence[torch.Tensor]  # (out, rank) each
    up_gradients: Sequence[torch.Tensor]
    scale: float
    flat: nn.Parameter  # what is learnt: so that a gradient is asked for where x needs none
    _x: torch.Tensor | None = None
    _waiting: dict[int, torch.Tensor] = field(default_factory=dict)  # outputs for `_x` that were not asked for yet

    def output(self, number: int, x: torch.Tensor) -> torch.Tensor:
        """Of layer `number`; those of the others are kept until they are asked for, for the same x."""
        if self._x is not x or number not in self._waiting:
            self._x, self._waiting = x, dict(enumerate(_LowRank.apply(x, self.flat, self)))
        found = self._waiting.pop(number)
        if not self._waiting:
            self._x = None
        return found


@dataclass(frozen=True)
class Member:
    """The forward of one linear layer; without its update where the adapter is switched off."""

    layer: BaseTunerLayer
    shared: Shared
    number: int

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.layer.disable_adapters:
            found: torch.Tensor = self.layer.get_base_layer()(x)
            return found
        if isinstance(self.shared.frozen[self.number], Pointwise):  # x is (B, C, H, W)
            return self.shared.output(self.number, x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.shared.output(self.number, x)


@dataclass(frozen=True)
class Pointwise:
    """A convolution that goes over single pixels, as the linear layer of rows (..., C) that it is."""

    layer: nn.Conv2d

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        if packed := packed_of(self.layer):
            return _rows(packed.ahead(_pixels(rows)), rows.shape)
        return nn.functional.linear(rows, self.layer.weight.flatten(1), self.layer.bias)

    def back(self, grad: torch.Tensor) -> torch.Tensor:
        """The gradient of the rows (tokens, in), from that of what is given."""
        if packed := packed_of(self.layer):
            return _rows(packed.back(_pixels(grad)), grad.shape)
        return grad @ self.layer.weight.flatten(1)


def _pixels(rows: torch.Tensor) -> torch.Tensor:
    """Rows (..., C) as one picture (1, C, tokens, 1), its channels last."""
    return rows.reshape(1, -1, 1, rows.shape[-1]).permute(0, 3, 1, 2)


def _rows(pixels: torch.Tensor, like: Sequence[int]) -> torch.Tensor:
    return pixels.permute(0, 2, 3, 1).reshape(*like[:-1], -1)


def as_linear(layer: nn.Module) -> nn.Linear | Pointwise | None:
    """A frozen layer as a linear one, where it is one."""
    if isinstance(layer, nn.Conv2d) and not isinstance(layer.padding, str):
        sides = (*layer.kernel_size, *layer.stride, *layer.dilation, layer.groups)
        return Pointwise(layer) if set(sides) == {1} and not any(layer.padding) else None
    return layer if isinstance(layer, nn.Linear) else None


class _LowRank(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, flat: nn.Parameter, shared: Shared) -> tuple[torch.Tensor, ...]:
        rows = x.reshape(-1, x.shape[-1])  # (tokens, in)
        low = rows @ shared.down.t()  # (tokens, layers * rank)
        outputs = []
        for frozen, up, own in zip(shared.frozen, shared.ups, low.chunk(len(shared.ups), 1), strict=True):
            y = frozen(x)
            y.view(-1, y.shape[-1]).addmm_(own, up.t(), alpha=shared.scale)
            outputs.append(y)
        ctx.save_for_backward(rows, low)
        ctx.shared, ctx.shape = shared, x.shape
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *outputs: torch.Tensor) -> tuple[torch.Tensor | None, None, None]:
        (rows, low), shared = ctx.saved_tensors, ctx.shared
        grads = [grad.reshape(-1, grad.shape[-1]) for grad in outputs]
        for grad, own, up_gradient in zip(grads, low.chunk(len(grads), 1), shared.up_gradients, strict=True):
            up_gradient.addmm_(grad.t(), own, alpha=shared.scale)
        lows = [grad @ up for grad, up in zip(grads, shared.ups, strict=True)]
        low_grad = torch.cat(lows, 1) if len(lows) > 1 else lows[0]  # (tokens, layers * rank)
        shared.down_gradient.addmm_(low_grad.t(), rows, alpha=shared.scale)
        if not ctx.needs_input_grad[0]:
            return None, None, None
        given = _input_gradient(shared.frozen[0], grads[0])
        for frozen, grad in zip(shared.frozen[1:], grads[1:], strict=True):
            given = _input_gradient(frozen, grad, given)
        return given.addmm_(low_grad, shared.down, alpha=shared.scale).view(ctx.shape), None, None


def _input_gradient(layer: Any, grad: torch.Tensor, given: torch.Tensor | None = None) -> torch.Tensor:
    """The gradient of a frozen layer's input (tokens, in), from that of its output; added to what is `given`."""
    if held := layer if isinstance(layer, Pointwise) else packed_of(layer):
        own: torch.Tensor = held.back(grad)
        return own if given is None else given.add_(own)
    weight = layer.dequantised(grad.dtype) if isinstance(layer, QuantizedLinear) else layer.weight
    return grad @ weight if given is None else given.addmm_(grad, weight)


@dataclass(frozen=True)
class Convolution:
    """The forward of a convolution with its update, whose gradients autograd adds to their buffer."""

    layer: Any
    like: nn.Conv2d  # how the lower half goes over the picture
    down: torch.Tensor  # (rank, in, height, width), compute dtype
    up: torch.Tensor  # (out, rank, 1, 1)
    scale: float

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.layer.base_layer(x)
        if self.layer.disable_adapters:
            return y
        like = self.like
        low = nn.functional.conv2d(x, self.down, None, like.stride, like.padding, like.dilation)
        return y + nn.functional.conv2d(low, self.up) * self.scale
