"""The adapter while it learns: fp32 masters in one flat buffer, and the low-rank update fused with the frozen layer.

`y = x W^T + s (x A^T) B^T` saves x and x A^T alone, where peft's wrapper saves its input twice and casts it (Hu et al.
2021 for the formula). Layers that are given the same x, as query, key and value are, share one x A^T. The layers stay
peft's: their weights are views of the buffer, so whatever reads them is served.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from lora_gui.engine.load import lora
from lora_gui.engine.load.frozen import add_input_gradient, input_gradient
from lora_gui.engine.train import norms, rotary
from lora_gui.formats.naming import is_text

_ALIGNED = 256  # values, of the start of each group of weights
_ALIKE = {  # layers of an attention that are given the same x; of a cross-attention, but for the query
    name: kind
    for kind in (("to_q", "to_k", "to_v"), ("add_q_proj", "add_k_proj", "add_v_proj"), ("q_proj", "k_proj", "v_proj"))
    for name in kind
}

Layers = list[tuple[str, BaseTunerLayer]]  # with their part and module path


class Masters:
    """The adapter's weights, fp32, with their gradients, and what is computed with: each one flat buffer.

    `flat` is the parameter for optimizers that treat all values alike; `pieces` are its weights one by one, for those
    that do not, in the order of the layers. `flat.grad` and `piece.grad` share memory. A backward in another dtype than
    fp32 leaves its gradients in a buffer of its own until `gather`.
    """

    def __init__(self, groups: list[list[nn.Parameter]], dtype: torch.dtype) -> None:
        """`groups` holds weights that must lie side by side."""
        self._spans, length = list[tuple[int, torch.Size]](), 0
        for group in groups:
            for weight in group:
                self._spans.append((length, weight.shape))
                length += weight.numel()
            length = -(-length // _ALIGNED) * _ALIGNED
        weights = [weight for group in groups for weight in group]
        device, other = weights[0].device, dtype != torch.float32
        self.flat = nn.Parameter(torch.zeros(length, device=device))
        self.gradient = torch.zeros(length, device=device)
        self.shadow = torch.zeros(length, dtype=dtype, device=device) if other else self.flat.data
        self.arriving = torch.zeros(length, dtype=dtype, device=device) if other else self.gradient
        self.flat.grad = self.gradient
        for weight, value, gradient in zip(weights, self.views(self.flat.data), self.views(self.gradient), strict=True):
            value.copy_(weight.data)
            weight.data, weight.grad = value, gradient
        self.pieces = weights
        self.refresh()

    def gather(self) -> None:
        """Add the gradients of a backward to those that are already there."""
        if self.arriving is not self.gradient:
            self.gradient.add_(self.arriving)
            self.arriving.zero_()

    def refresh(self) -> None:
        """Cast the masters into what is computed with: after each change of them."""
        if self.shadow.dtype != torch.float32:
            self.shadow.copy_(self.flat.data)

    def zero(self) -> None:
        self.gradient.zero_()

    def buffers(self) -> tuple[torch.Tensor, ...]:
        """All memory that is held here; fp32 computes with the masters themselves."""
        further = (self.shadow, self.arriving) if self.arriving is not self.gradient else ()
        return self.flat.data, self.gradient, *further

    def joined(self, states: list[dict[str, Any]]) -> dict[str, Any] | None:
        """One state of an optimizer from those it had for each of `pieces`; None where they cannot be joined."""
        joined = dict(states[0])
        for key, first in states[0].items():
            if not isinstance(first, torch.Tensor) or not first.ndim:
                continue
            whole = torch.zeros(self.flat.shape, dtype=first.dtype)
            for state, view in zip(states, self.views(whole), strict=True):
                if key not in state or state[key].shape != view.shape or state[key].dtype != view.dtype:
                    return None
                view.copy_(state[key])
            joined[key] = whole
        return joined

    def views(self, buffer: torch.Tensor) -> list[torch.Tensor]:
        """One of the buffers, weight by weight."""
        return [buffer[start : start + shape.numel()].view(shape) for start, shape in self._spans]


def fuse(parts: lora.Parts, name: str, dtype: torch.dtype, queries_apart: bool = False) -> list[Masters]:
    """Let the adapter `name` learn fused with its frozen layers, which compute in `dtype`.

    `queries_apart` says that queries are of another x than keys and values are, where the attention does not say so.
    Returns the weights by the learning rate they have in common: those of denoisers, then those of text encoders.
    """
    for root in parts.values():
        norms.fuse(root)
        rotary.fuse(root)
    found = list(lora.adapter_layers(parts, name))
    kinds = [[(key, one) for key, one in found if is_text(key.partition(".")[0]) == texts] for texts in (False, True)]
    return [_fused(_sharing(parts, layers, name, queries_apart), name, dtype) for layers in kinds if layers]


def _fused(together: list[list[BaseTunerLayer]], name: str, dtype: torch.dtype) -> Masters:
    weights = [
        [*(one.lora_A[name].weight for one in group), *(one.lora_B[name].weight for one in group)] for group in together
    ]
    masters = Masters(weights, dtype)
    values, gradients = iter(masters.views(masters.shadow)), iter(masters.views(masters.arriving))
    for group in together:
        count, scale = len(group), float(group[0].scaling[name])
        downs, ups = ([next(values) for _ in group] for _ in range(2))
        down_gradients, up_gradients = ([next(gradients) for _ in group] for _ in range(2))
        if not isinstance(group[0].get_base_layer(), nn.Linear):
            group[0].forward = _Convolution(group[0], name, scale).forward
            continue
        shared = _Shared(
            [one.get_base_layer() for one in group], _side_by_side(downs), ups, _side_by_side(down_gradients),
            up_gradients, scale, masters.flat,
        )  # fmt: skip
        for n in range(count):
            group[n].forward = _Member(group[n], shared, n).forward
    return masters


def _sharing(parts: lora.Parts, layers: Layers, name: str, queries_apart: bool) -> list[list[BaseTunerLayer]]:
    """The layers in their order, those together that are given the same x."""

    def kind(item: tuple[str, BaseTunerLayer]) -> Any:
        (key, layer), path = item, item[0].rpartition(".")
        alike = _ALIKE.get(path[2])
        if alike is None or not isinstance(layer.get_base_layer(), nn.Linear):
            return key
        part, _, within = path[0].partition(".")
        crosses = queries_apart or getattr(parts[part].get_submodule(within), "is_cross_attention", False)
        apart = key if crosses and path[2] == alike[0] else ""
        return path[0], alike, apart, layer.lora_A[name].weight.shape, layer.scaling[name]

    return [[layer for _, layer in group] for _, group in groupby(layers, key=kind)]


def _side_by_side(pieces: list[torch.Tensor]) -> torch.Tensor:
    """Matrices that lie one after another in memory, as one (rows of all, columns)."""
    first = pieces[0]
    return first.as_strided((sum(len(one) for one in pieces), first.shape[1]), first.stride())


@dataclass
class _Shared:
    """The update of linear layers that are given the same x. Gradients are added to their buffers at once."""

    frozen: list[nn.Linear]
    down: torch.Tensor  # (layers * rank, in)
    ups: list[torch.Tensor]  # (out, rank) each
    down_gradient: torch.Tensor
    up_gradients: list[torch.Tensor]
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
class _Member:
    """The forward of one linear layer; without its update where the adapter is switched off."""

    layer: BaseTunerLayer
    shared: _Shared
    number: int

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.layer.disable_adapters:
            return self.shared.frozen[self.number](x)
        return self.shared.output(self.number, x)


class _LowRank(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, flat: nn.Parameter, shared: _Shared) -> tuple[torch.Tensor, ...]:
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
        given = input_gradient(shared.frozen[0], grads[0])
        for frozen, grad in zip(shared.frozen[1:], grads[1:], strict=True):
            add_input_gradient(frozen, grad, given)
        return given.addmm_(low_grad, shared.down, alpha=shared.scale).view(ctx.shape), None, None


@dataclass(frozen=True)
class _Convolution:
    """The forward of a convolution with its update, its gradients by autograd: fp32, in their buffer as well."""

    layer: Any
    name: str
    scale: float

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.layer.base_layer(x)
        if self.layer.disable_adapters:
            return y
        down, up = self.layer.lora_A[self.name], self.layer.lora_B[self.name]
        low = nn.functional.conv2d(x, down.weight.to(x.dtype), None, down.stride, down.padding, down.dilation)
        return y + nn.functional.conv2d(low, up.weight.to(x.dtype)) * self.scale
