"""The adapter while it learns: fp32 masters in one flat buffer, each layer's update fused with it (low_rank.py).

Layers that are given the same x, as query, key and value are, share one x A^T. The layers stay peft's: their weights
are views of the buffer, so whatever reads them is served.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from lora_gui.engine.load import lokr, lora
from lora_gui.engine.train import gated, group_norms, norms, rotary, spared
from lora_gui.engine.train.decomposed import Decomposed
from lora_gui.engine.train.kronecker import Product
from lora_gui.engine.train.low_rank import Convolution, Member, Shared, as_linear, side_by_side
from lora_gui.families.base import Family
from lora_gui.formats.naming import is_text
from lora_gui.settings import TrainSettings

_ALIGNED = 256  # values, of the start of each group of weights
_ALIKE = {  # layers of an attention that are given the same x; of a cross-attention, but for the query
    name: kind
    for kind in (("to_q", "to_k", "to_v"), ("add_q_proj", "add_k_proj", "add_v_proj"), ("q_proj", "k_proj", "v_proj"))
    for name in kind
}

Layers = list[tuple[str, BaseTunerLayer]]  # with their part and module path


class Layout(NamedTuple):
    """How the weights lie: as one, or so that what learns at another rate lies apart and may be changed for a step."""

    ups_apart: bool = False  # all upper halves behind all lower ones
    own_shadow: bool = False  # what is computed with is not the masters themselves, in fp32 neither

    @classmethod
    def of(cls, settings: TrainSettings) -> Layout:
        return cls(settings.up_ratio != 1, bool(settings.rank_dropout or settings.module_dropout))

    def apart_of(self, dtype: torch.dtype) -> bool:
        """Whether what is computed with in `dtype` is a copy."""
        return self.own_shadow or dtype != torch.float32


PLAIN = Layout()
Groups = list[list[tuple[nn.Parameter, ...]]]


class Masters:
    """The adapter's weights, fp32, and what is computed with: each one flat buffer.

    `flat` is the parameter for optimizers that treat all values alike; `pieces` are its weights one by one, for those
    that do not, in the order of the layers. A backward leaves its gradients in `arriving`, in the compute dtype; where
    that is not fp32, `gather` casts them, so that both are held only once the activations have gone. `exchanged` is
    what processes that train together average in one go: the gathered gradients, and behind them a loss.
    """

    def __init__(
        self, groups: Groups, dtype: torch.dtype, layout: Layout = PLAIN, of_texts: bool = False
    ) -> None:
        """`groups` holds layers, each by its lower and upper half, whose lower halves must lie side by side; or each by
        its magnitude alone, or by the factors of a LoKr."""
        self.of_texts = of_texts
        starts, length, blocks = dict[int, int](), 0, _blocks(groups, layout.ups_apart)
        for block in blocks:
            for weight in block:
                starts[id(weight)] = length
                length += weight.numel()
            length = -(-length // _ALIGNED) * _ALIGNED
        self._ups_from = starts[id(blocks[len(groups)][0])] if layout.ups_apart else 0
        weights = [weight for group in groups for layer in group for weight in layer]
        self._spans = [(starts[id(weight)], weight.shape) for weight in weights]
        device, self._casts = weights[0].device, layout.apart_of(dtype)
        self.flat = nn.Parameter(torch.zeros(length, device=device))
        self.exchanged = torch.zeros(0 if self._casts else length + 1, device=device)
        self.shadow, self.arriving = self.flat.data, self.exchanged[:-1]
        if self._casts:
            self.shadow, self.arriving = (torch.zeros(length, dtype=dtype, device=device) for _ in range(2))
        for weight, value in zip(weights, self.views(self.flat.data), strict=True):
            value.copy_(weight.data)
            weight.data = value
        self.pieces, self._given = weights, list[tuple[nn.Parameter, int]]()
        self.scales = list[float]()  # alpha / rank of each layer; of magnitudes none
        self.of_products = False  # whether the last weight of each layer is the first factor of a Kronecker product
        self._counts = [len(layer) for group in groups for layer in group]
        self.refresh()

    def given(self, by_piece: bool = False) -> list[list[nn.Parameter]]:
        """What an optimizer is given, by the rate it has in common: one buffer or, of an adapter laid out so, its lower
        and its upper halves; `by_piece` weight by weight."""
        if by_piece:
            self._given = [(weight, start) for weight, (start, _) in zip(self.pieces, self._spans, strict=True)]
            return [self.pieces[::2], self.pieces[1::2]] if self._ups_from else [self.pieces]
        if not self._ups_from:
            return [[self.flat]]
        halves = [nn.Parameter(one) for one in (self.flat.data[: self._ups_from], self.flat.data[self._ups_from :])]
        self._given = list(zip(halves, (0, self._ups_from), strict=True))
        return [[one] for one in halves]

    def gather(self) -> None:
        """Give the weights the gradients of a backward, added to those of the backwards before."""
        if self.flat.grad is None:
            if self._casts:
                self.exchanged = torch.zeros(len(self.arriving) + 1, device=self.arriving.device)
            self.flat.grad = self.exchanged[:-1]
            for weight, start in self._given:
                weight.grad = self.flat.grad[start : start + weight.numel()].view(weight.shape)
        if self._casts:
            self.flat.grad.add_(self.arriving)
            self.arriving.zero_()

    def refresh(self) -> None:
        """Cast the masters into what is computed with: after each change of them."""
        if self._casts:
            self.shadow.copy_(self.flat.data)

    def zero(self, release: bool = True) -> None:
        """Forget the gradients; where fp32 computes, or they may not be released, their memory stays where it is."""
        if self._casts and release:
            self.flat.grad, self.exchanged = None, self.exchanged.new_zeros(0)
            for weight, _ in self._given:
                weight.grad = None
        else:
            self.exchanged.zero_()

    def buffers(self) -> tuple[torch.Tensor, ...]:
        """All memory that is held while gradients arrive; fp32 computes with the masters themselves."""
        return self.flat.data, self.arriving, self.shadow

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

    def by_layer(self, buffer: torch.Tensor) -> list[tuple[torch.Tensor, ...]]:
        """One of the buffers, the weights of each layer together, its lower half first."""
        views = iter(self.views(buffer))
        return [tuple(itertools.islice(views, count)) for count in self._counts]

    def views(self, buffer: torch.Tensor) -> list[torch.Tensor]:
        """One of the buffers, weight by weight."""
        return [buffer[start : start + shape.numel()].view(shape) for start, shape in self._spans]


def _blocks(groups: Groups, ups_apart: bool) -> list[list[nn.Parameter]]:
    """What lies together: of each group its lower halves and then its upper ones, or all those behind all these."""
    downs = [[layer[0] for layer in group] for group in groups]
    ups = [[weight for layer in group for weight in layer[1:]] for group in groups]
    return downs + ups if ups_apart else [[*down, *up] for down, up in zip(downs, ups, strict=True)]


def fuse(
    parts: lora.Parts, name: str, dtype: torch.dtype, family: Family | None = None, layout: Layout = PLAIN
) -> list[Masters]:
    """Let the adapter `name` learn fused with its frozen layers, which compute in `dtype`; the blocks of its `family`
    too, where that is given.

    Returns the weights by the learning rate they have in common: those of denoisers, then those of text encoders; then
    the magnitudes of each, of a DoRA.
    """
    for part, root in parts.items():
        gated.fuse(root)
        norms.fuse(root)
        rotary.fuse(root)
        spared.fuse(root)
        group_norms.fuse(root)
        if family:
            family.fuse(part, root)
    queries_apart = family is not None and family.queries_apart
    found = list(lora.adapter_layers(parts, name))
    halves, magnitudes = list[Masters](), list[Masters]()
    for texts in (False, True):
        layers = [(key, one) for key, one in found if is_text(key.partition(".")[0]) == texts]
        if layers and lokr.weights(layers[0][1], name):
            halves.append(_of_lokr([one for _, one in layers], name, dtype, layout, texts))
        elif layers:
            together = _sharing(parts, layers, name, queries_apart)
            halves.append(_fused(together, name, dtype, layout, texts))
            magnitudes += _decomposed([one for group in together for one in group], name, halves[-1])
    return halves + magnitudes


def _decomposed(layers: list[Any], name: str, halves: Masters) -> list[Masters]:
    """The magnitudes of layers that are DoRAs, in fp32 whatever computes, which their forward is scaled by."""
    if name not in layers[0].lora_magnitude_vector:
        return []
    weights = [layer.lora_magnitude_vector[name].weight for layer in layers]
    masters, computed = Masters([[(one,) for one in weights]], torch.float32), halves.views(halves.shadow)
    values = zip(masters.views(masters.shadow), masters.views(masters.arriving), strict=True)
    for n, (layer, (value, gradient)) in enumerate(zip(layers, values, strict=True)):
        down, up, flat = computed[2 * n], computed[2 * n + 1], (value.flatten(), gradient.flatten())
        layer.forward = Decomposed(layer, layer.forward, down, up, halves.scales[n], *flat).forward
    masters.of_texts = halves.of_texts
    return [masters]


def _fused(
    together: list[list[BaseTunerLayer]], name: str, dtype: torch.dtype, layout: Layout, texts: bool
) -> Masters:
    halves: Groups = [[(one.lora_A[name].weight, one.lora_B[name].weight) for one in group] for group in together]
    masters = Masters(halves, dtype, layout, texts)
    masters.scales = [float(one.scaling[name]) for group in together for one in group]
    values, gradients = iter(masters.views(masters.shadow)), iter(masters.views(masters.arriving))
    for group in together:
        downs, ups = zip(*((next(values), next(values)) for _ in group), strict=True)
        down_gradients, up_gradients = zip(*((next(gradients), next(gradients)) for _ in group), strict=True)
        scale = float(group[0].scaling[name])
        frozen = [as_linear(one.get_base_layer()) for one in group]
        if None in frozen:
            down, up = (one.detach().requires_grad_() for one in (downs[0], ups[0]))
            down.grad, up.grad = down_gradients[0], up_gradients[0]
            group[0].forward = Convolution(group[0], group[0].lora_A[name], down, up, scale).forward
            continue
        ups, up_gradients = (tuple(one.flatten(1) for one in some) for some in (ups, up_gradients))
        shared = Shared(
            frozen, side_by_side(downs), side_by_side(down_gradients), ups, up_gradients, scale, masters.flat
        )
        for n, layer in enumerate(group):
            layer.forward = Member(layer, shared, n).forward
    return masters


def _of_lokr(layers: list[BaseTunerLayer], name: str, dtype: torch.dtype, layout: Layout, texts: bool) -> Masters:
    """The factors of a LoKr, each layer's for itself."""
    own = [tuple(lokr.weights(layer, name).values()) for layer in layers]
    masters = Masters([[factors] for factors in own], dtype, layout, texts)
    masters.of_products = True
    computed, gradients = (masters.by_layer(one) for one in (masters.shadow, masters.arriving))
    for layer, values, arriving in zip(layers, computed, gradients, strict=True):
        masters.scales.append(float(layer.scaling[name]) if len(values) == 3 else 1.0)
        factors = tuple(value.detach().requires_grad_() for value in values)
        for factor, gradient in zip(factors, arriving, strict=True):
            factor.grad = gradient
        layer.forward = Product(layer, factors, masters.scales[-1]).forward
    return masters


def _sharing(parts: lora.Parts, layers: Layers, name: str, queries_apart: bool) -> list[list[BaseTunerLayer]]:
    """The layers in their order, those together that are given the same x.

    `queries_apart` says that queries are of another x than keys and values are, where the attention does not say so.
    """

    def kind(item: tuple[str, BaseTunerLayer]) -> Any:
        (key, layer), path = item, item[0].rpartition(".")
        alike = _ALIKE.get(path[2])
        if alike is None or not isinstance(layer.get_base_layer(), nn.Linear):
            return key
        part, _, within = path[0].partition(".")
        crosses = queries_apart or getattr(parts[part].get_submodule(within), "is_cross_attention", False)
        apart = key if crosses and path[2] == alike[0] else ""
        return path[0], alike, apart, layer.lora_A[name].weight.shape, layer.scaling[name]

    return [[layer for _, layer in group] for _, group in itertools.groupby(layers, key=kind)]
