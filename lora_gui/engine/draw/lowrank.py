"""All LoRAs of a stack as one low-rank product in each layer, where they are not merged into its weight.

y = W x + sum_k s_k B_k (A_k x) = W x + B (A x), the A_k below each other and the s_k B_k side by side: two small
products in the compute dtype whatever the number of LoRAs, where peft's wrapper takes four kernels for each in fp32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from lora_gui.engine.load.lora import Parts


def fuse(parts: Parts) -> None:
    """Compute with the adapters that are active now; those of a DoRA, which are not additive, stay peft's."""
    undo(parts)
    for layer in _layers(parts):
        names = [name for name in layer.active_adapters if name in layer.lora_A]
        if layer.disable_adapters or not names or any(name in layer.lora_magnitude_vector for name in names):
            continue
        base = layer.get_base_layer()
        downs = torch.cat([layer.lora_A[name].weight.detach() for name in names])
        ups = torch.cat([layer.lora_B[name].weight.detach() * layer.scaling[name] for name in names], 1)
        if isinstance(base, nn.Linear):
            layer.forward = _Linear(base, downs, ups).forward
        elif isinstance(base, nn.Conv2d) and base.groups == 1:
            layer.forward = _Convolution(base, downs, ups).forward


def undo(parts: Parts) -> None:
    """Let peft compute again."""
    for layer in _layers(parts):
        if isinstance(getattr(layer.__dict__.get("forward"), "__self__", None), _Stacked):
            del layer.forward


def _layers(parts: Parts) -> list[Any]:
    return [module for root in parts.values() for module in root.modules() if isinstance(module, BaseTunerLayer)]


@dataclass
class _Stacked:
    base: Any
    down: torch.Tensor  # (sum of ranks, in), or of a convolution (sum of ranks, in, height, width)
    up: torch.Tensor  # (out, sum of ranks), or (out, sum of ranks, 1, 1)

    def halves(self, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """Both in what is computed in, kept so."""
        if self.down.dtype != dtype:
            self.down, self.up = self.down.to(dtype), self.up.to(dtype)
        return self.down, self.up


class _Linear(_Stacked):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.base(x)
        down, up = self.halves(x.dtype)
        low = x.reshape(-1, x.shape[-1]) @ down.t()
        return y.view(-1, y.shape[-1]).addmm_(low, up.t()).view(y.shape)


class _Convolution(_Stacked):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.base(x)
        down, up = self.halves(x.dtype)
        like = self.base
        low = nn.functional.conv2d(x, down, None, like.stride, like.padding, like.dilation)
        return y.add_(nn.functional.conv2d(low, up))
