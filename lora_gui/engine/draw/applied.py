"""LoRAs at their strengths in the layers of a base: added to its weights, or beside them as one low-rank product.

W' = W + sum_k s_k D_k, with D = alpha / r B A of a plain LoRA (Hu et al. 2021), and of a DoRA (Liu et al. 2024) what it
changes as trained, m (W + B A) / |W + B A| - W, which is (c - 1) W + c B A with c = m / |W + B A| of each output, or
W (c - 1) + B A c of each input. So 0 is the base, 1 is what was learnt, and DoRAs add up like the rest; ComfyUI and
Forge do the same, while peft puts s into the norm. What is computed starts from the base's own weights each time, so
that nothing drifts.

Beside the weights it is two small products, or where there are so many tokens that it is less arithmetic, B A added to
the weight for this use alone, as it is dequantised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lora_gui.engine.load import device, lora
from lora_gui.engine.load.quantize import QuantizedLinear

Weight = Callable[[str], float]  # the strength of an adapter in a layer, by part and module path
Share = tuple[str, float]  # an adapter of a layer and its strength there
Gains = dict[int, torch.Tensor]  # what is added to W per W: 0 by output, (out, 1, ...), and 1 by input, (1, in, ...)

_NOT_ZERO = torch.finfo(torch.float32).eps  # beside norms, as LyCORIS and ComfyUI have it
_COPIED = 1 / 4  # of what is free that copies may take: the steps and the decoder need the rest


class Applied:
    """The adapters of a base, none of them active in peft; `merged` adds them to the weights, of which it keeps copies
    meanwhile, but for layers in few bits, and where memory has ample room for those.

    A layer is seen to when it is next computed with, so that a change of strengths itself takes no time.
    """

    def __init__(self, parts: lora.Parts) -> None:
        self.parts = parts
        self._layers: dict[str, Any] = {}  # peft's wrappers by part and module path
        self._shares: dict[str, tuple[Share, ...]] = {}  # what counts in each now
        self._merged: dict[str, bool] = {}  # and whether in its weight
        self._originals: dict[str, torch.Tensor] = {}  # weights of the base where adapters are added to them
        self._scales: dict[Share | tuple[str, str], torch.Tensor] = {}  # c, by adapter and layer

    def changed(self) -> None:
        """Look at the adapters anew, since some came or went."""
        lora.activate(self.parts, {})
        self._layers = dict(lora.wrappers(self.parts))
        there = {name for layer in self._layers.values() for name in layer.lora_A}
        self._scales = {key: value for key, value in self._scales.items() if key[0] in there}

    def use(self, weights: Mapping[str, Weight], merged: bool) -> None:
        """Let exactly these adapters count, each layer in the order given."""
        counting = {}
        for path, layer in self._layers.items():
            found = ((name, weight(path)) for name, weight in weights.items() if name in layer.lora_A)
            counting[path] = tuple((name, strength) for name, strength in found if strength)
        merged = merged and self._has_room(counting)
        for path, layer in self._layers.items():
            within, shares = merged and not isinstance(layer.get_base_layer(), QuantizedLinear), counting[path]
            if shares != self._shares.get(path, ()) or (shares and within != self._merged[path]):
                was_merged = self._merged.get(path, within)
                self._shares[path], self._merged[path] = shares, within
                layer.__dict__.pop("forward", None)
                if was_merged and not within and path in self._originals:
                    layer.get_base_layer().weight.data.copy_(self._originals.pop(path))
                self._see_to(path, layer, within)

    def _has_room(self, counting: Mapping[str, tuple[Share, ...]]) -> bool:
        """Whether the copies that are still to be made are small beside what is free."""
        bases = [
            self._layers[path].get_base_layer()
            for path, shares in counting.items() if shares and path not in self._originals
        ]  # fmt: skip
        weights = [base.weight for base in bases if not isinstance(base, QuantizedLinear)]
        return not weights or sum(one.nbytes for one in weights) <= _COPIED * device.free(weights[0].device)

    def _see_to(self, path: str, layer: Any, merged: bool) -> None:
        shares = self._shares[path]
        if getattr(layer.get_base_layer(), "groups", 1) != 1:
            return _by_peft(layer, shares)
        if merged or shares:
            layer.forward = self._late(path, layer, merged)
        return None

    def _late(self, path: str, layer: Any, merged: bool) -> Callable[..., Any]:
        """The layer's forward until it is first called, when its weight is there even of a block in RAM."""

        def forward(*given: Any, **named: Any) -> Any:
            del layer.forward
            if merged:
                self._merge(path, layer)
            else:
                self._put_beside(path, layer)
            return layer.forward(*given, **named)

        return forward

    def _put_beside(self, path: str, layer: Any) -> None:
        base, (down, up, gains) = layer.get_base_layer(), self._sum(path, layer)
        kind = _Linear if isinstance(base, nn.Linear) else _Convolution
        layer.forward = kind(base, down, up, gains).forward

    def _merge(self, path: str, layer: Any) -> None:
        weight = layer.get_base_layer().weight.data
        if not self._shares[path]:
            if path in self._originals:
                weight.copy_(self._originals.pop(path))
            return
        original = self._originals.get(path)
        if original is None:
            original = self._originals[path] = weight.clone()
        down, up, gains = self._sum(path, layer)
        flat = _with(gains, original.float()).flatten(1)
        up, down = up.flatten(1), down.flatten(1)
        if weight.dtype == torch.float32 and weight.is_contiguous():
            torch.addmm(flat, up, down, out=weight.view_as(flat))
        else:
            weight.copy_(torch.addmm(flat, up, down).view_as(weight))

    def _sum(self, path: str, layer: Any) -> tuple[torch.Tensor, torch.Tensor, Gains]:
        """All that counts in a layer: downs below each other, ups side by side, and what is added of W itself."""
        downs, ups, gains = [], [], Gains()
        for name, strength in self._shares[path]:
            halves = [layer.lora_B[name].weight.detach(), layer.lora_A[name].weight.detach()]
            halves[0] = halves[0] * (strength * layer.scaling[name])
            if name in layer.lora_magnitude_vector:
                c, along = self._scale(name, path, layer), _along(name, layer)
                gains[along] = gains.get(along, 0) + strength * (c - 1)
                halves[along] = halves[along] * c
            ups.append(halves[0])
            downs.append(halves[1])
        return torch.cat(downs), torch.cat(ups, 1), gains

    def _scale(self, name: str, path: str, layer: Any) -> torch.Tensor:
        """c of a DoRA, (out, 1, ...) or (1, in, ...): its magnitudes over the norms of what it makes of the weights."""
        if (name, path) not in self._scales:
            original = self._originals.get(path)
            weight = (layer.get_base_layer().weight.detach() if original is None else original).float()
            halves = (layer.lora_A[name].weight, layer.lora_B[name].weight)
            down, up = (half.detach().flatten(1).to(weight.device) for half in halves)
            changed = torch.addmm(weight.flatten(1), up, down, alpha=layer.scaling[name])
            along, magnitude = _along(name, layer), layer.lora_magnitude_vector[name].weight.detach().flatten()
            norms = changed.view(*weight.shape[:2], -1).norm(dim=(1 - along, 2)).to(magnitude.device)
            shape = [-1 if dimension == along else 1 for dimension in range(weight.ndim)]
            self._scales[name, path] = (magnitude / (norms + _NOT_ZERO)).view(shape)
        return self._scales[name, path]


def _along(name: str, layer: Any) -> int:
    """Of which dimension of the weight a DoRA's magnitudes are."""
    return int(layer.lora_magnitude_vector[name].weight.ndim == 2)  # peft's own are (out,) and (1, out, 1, 1)


def _with(gains: Gains, weight: torch.Tensor) -> torch.Tensor:
    """W and what is added of it, new unless that is nothing."""
    added = [gain.to(weight.dtype) for gain in gains.values()]
    return torch.addcmul(weight, weight, sum(added[1:], added[0])) if added else weight


def _by_peft(layer: Any, shares: tuple[Share, ...]) -> None:
    """Convolutions in groups, whose update is no product of two matrices."""
    layer.set_adapter([name for name, _ in shares])
    for name, strength in shares:
        layer.set_scale(name, strength)
    layer.enable_adapters(bool(shares))


@dataclass
class _Beside:
    base: Any
    down: torch.Tensor  # (sum of ranks, in), or of a convolution (sum of ranks, in, height, width)
    up: torch.Tensor  # (out, sum of ranks), or (out, sum of ranks, 1, 1)
    gains: Gains

    def halves(self, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """Both in what is computed in, kept so."""
        if self.down.dtype != dtype:
            self.down, self.up = self.down.to(dtype), self.up.to(dtype)
        return self.down, self.up

    def computed(self, x: torch.Tensor, channels: int) -> torch.Tensor:
        """What the base computes, with the gains; `channels` is the dimension of the layer's inputs and outputs."""
        shape = [1] * x.ndim
        shape[channels] = -1
        gains = {along: gain.to(x.dtype).view(shape) for along, gain in self.gains.items()}
        y: torch.Tensor = self.base(torch.addcmul(x, x, gains[1]) if 1 in gains else x)
        if 0 not in gains:
            return y
        plain, bias = self.base(x) if 1 in gains else y, self.base.bias
        return torch.addcmul(y, plain if bias is None else plain - bias.view(shape), gains[0])


class _Linear(_Beside):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        down, up = self.halves(x.dtype)
        if self._changes_weight(x):
            bias = self.base.bias
            return nn.functional.linear(x, self._weight(x.dtype), bias if bias is None else bias.to(x.dtype))
        y = self.computed(x, -1)
        low = x.reshape(-1, x.shape[-1]) @ down.t()
        return y.view(-1, y.shape[-1]).addmm_(low, up.t()).view(y.shape)

    def _changes_weight(self, x: torch.Tensor) -> bool:
        """Whether B A takes less than two products with each token, unless the weight is not dequantised at all."""
        (outputs, _), inputs = self.up.shape, self.down.shape[1]
        as_it_is = isinstance(self.base, QuantizedLinear) and self.base.multiplies_as_it_is(x)
        return not as_it_is and x.numel() // inputs * (inputs + outputs) > inputs * outputs

    def _weight(self, dtype: torch.dtype) -> torch.Tensor:
        """W, its gains and B A (out, in), for one use."""
        quantised = isinstance(self.base, QuantizedLinear)
        weight = self.base.dequantised(dtype) if quantised else self.base.weight
        weight = _with(self.gains, weight)
        return torch.addmm(weight, self.up, self.down, out=weight if quantised else None)


class _Convolution(_Beside):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.computed(x, 1)
        down, up = self.halves(x.dtype)
        like = self.base
        low = nn.functional.conv2d(x, down, None, like.stride, like.padding, like.dilation)
        return y.add_(nn.functional.conv2d(low, up))
