"""Group norms of small groups of channels that lie last, while a network learns in 16 bits on a processor.

Torch's kernel goes through such a picture group by group, a few values at a time: it is quicker to lay the channels
first for it, and last again (Wu & He 2018, Group Normalization). `tests/bench/group_norms.py` times both.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from lora_gui.families.shared.fused import while_learning

_SMALL_GROUP = 8  # channels: half of what is computed at once
_FEW_PIXELS = 1024  # of more, torch's own goes pixel by pixel (aten/src/ATen/native/cpu/group_norm_kernel.cpp)
_WORTH = 256  # pixels of all pictures together; of fewer, the calls cost more


def fuse(root: nn.Module) -> None:
    """Let the norms of a frozen network compute so."""
    for module in root.modules():
        if type(module) is nn.GroupNorm and module.affine and module.num_channels <= _SMALL_GROUP * module.num_groups:
            while_learning(module, _normed)


def _normed(norm: nn.GroupNorm, x: torch.Tensor) -> torch.Tensor:
    if x.ndim == 4 and x.device.type == "cpu" and x.itemsize == 2 and not x.is_contiguous():
        pixels = x.shape[2] * x.shape[3]
        if pixels < _FEW_PIXELS and len(x) * pixels >= _WORTH:
            out: torch.Tensor = _GroupNorm.apply(x, norm)
            return out
    return functional.group_norm(x, norm.num_groups, norm.weight, norm.bias, norm.eps)


class _GroupNorm(torch.autograd.Function):
    """(B, C, H, W) with its channels last, to the same."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, norm: nn.GroupNorm) -> torch.Tensor:
        first, sizes = x.contiguous(), (len(x), x.shape[1], x[0, 0].numel(), norm.num_groups)
        y, mean, inverse = torch.native_group_norm(first, norm.weight, norm.bias, *sizes, norm.eps)
        ctx.save_for_backward(first, mean, inverse)
        ctx.norm, ctx.sizes = norm, sizes
        return y.contiguous(memory_format=torch.channels_last)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        given, weight, only_x = grads[0].contiguous(), ctx.norm.weight, [True, False, False]
        found = torch.ops.aten.native_group_norm_backward(given, *ctx.saved_tensors, weight, *ctx.sizes, only_x)
        return found[0].contiguous(memory_format=torch.channels_last), None
