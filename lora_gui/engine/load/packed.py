"""Frozen layers in oneDNN's blocked layout, so that a processor need not reorder their weights at each use.

Measured by `tests/bench/packed.py`. A layer holds two copies then, one for each direction, and its plain weight goes.
"""

from __future__ import annotations

from collections import Counter
from types import MethodType
from typing import Any

import psutil
import torch
from torch import nn

from lora_gui.engine.load.loading import nbytes

_ROOM = 4  # times a network's bytes that the computer must have: two copies, the activations, everybody else
_SMALLEST = 4096  # values; smaller weights are reordered faster than they are looked up
_PIXELS = 16  # a side of the input that layouts are chosen for
_DTYPES = (torch.float32, torch.bfloat16)


def pack(root: nn.Module) -> int:
    """Pack the linear and convolution layers of a frozen network on a processor; returns how many.

    None where oneDNN is missing, or the memory is short; what a layer computes is the same up to rounding.
    """
    if not torch.backends.mkldnn.is_available() or psutil.virtual_memory().total < _ROOM * nbytes(root):
        return 0
    uses = Counter(id(weight) for module in root.modules() for weight in module.parameters(recurse=False))
    chosen = [module for module in root.modules() if _packable(module) and uses[id(module.weight)] == 1]
    for module in chosen:
        module.forward = Packed(module).forward  # type: ignore[arg-type, method-assign]
    return len(chosen)


def packed_of(layer: nn.Module) -> Packed | None:
    """What stands in for a layer that is packed."""
    return getattr(layer.forward, "__self__", None) if isinstance(layer.__dict__.get("forward"), MethodType) else None


def _packable(module: nn.Module) -> bool:
    """Exact types only: what derives from them may read its weight by itself."""
    if type(module) is nn.Conv2d:
        plain = module.stride == (1, 1) and module.dilation == (1, 1) and module.groups == 1
        if not plain or module.padding_mode != "zeros" or isinstance(module.padding, str):
            return False
    elif type(module) is not nn.Linear:
        return False
    weight = module.weight
    frozen = not weight.requires_grad and weight.device.type == "cpu" and weight.dtype in _DTYPES
    return frozen and weight.numel() >= _SMALLEST


class Packed:
    """One frozen layer: a linear one is a convolution with a kernel of one pixel, the tokens a column of pixels."""

    def __init__(self, layer: nn.Linear | nn.Conv2d) -> None:
        self.layer, self.bias = layer, layer.bias
        self._padding, self._turned_padding = [0, 0], [0, 0]
        if isinstance(layer, nn.Conv2d):
            self._padding = [int(pad) for pad in layer.padding]
            self._turned_padding = [k - 1 - pad for k, pad in zip(layer.kernel_size, self._padding, strict=True)]
        self._ahead: torch.Tensor | None = None
        self._back: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What the layer gives; no gradient but that of `x` is kept for."""
        out: torch.Tensor = _Frozen.apply(x, self)
        return out

    def ahead(self, x: torch.Tensor) -> torch.Tensor:
        """The layer's output for `x`, (B, C, H, W) or (..., C)."""
        if self._ahead is None:
            self._ahead = self._reordered(self._weight(), self._padding)
        return self._convolved(x, self._ahead, self.bias, self._padding)

    def back(self, grad: torch.Tensor) -> torch.Tensor:
        """The gradient of the input, from that of the output: with stride 1, a convolution with the kernel turned."""
        if self._back is None:
            turned = self._weight().flip(2, 3).transpose(0, 1).contiguous()
            self._back = self._reordered(turned, self._turned_padding)
            weight = self.layer.weight
            weight.data = weight.new_zeros(()).expand(weight.shape)  # both directions are packed: its memory goes
        return self._convolved(grad, self._back, None, self._turned_padding)

    def _weight(self) -> torch.Tensor:
        """(out, in, height, width)."""
        weight = self.layer.weight.detach()
        return weight if weight.ndim == 4 else weight[:, :, None, None]

    def _reordered(self, weight: torch.Tensor, padding: list[int]) -> torch.Tensor:
        """For inputs of any size: were it that of the first one, a resumed run might round otherwise."""
        size = [1, weight.shape[1], *((_PIXELS, _PIXELS) if weight.shape[2] > 1 else (_PIXELS**2, 1))]
        reorder = torch.ops.aten.mkldnn_reorder_conv2d_weight
        return reorder(weight.to_mkldnn(), padding, [1, 1], [1, 1], 1, size)

    def _as_pixels(self, x: torch.Tensor) -> torch.Tensor:
        if isinstance(self.layer, nn.Conv2d):
            return x.contiguous(memory_format=torch.channels_last)
        return x.reshape(1, -1, 1, x.shape[-1]).permute(0, 3, 1, 2)

    def _convolved(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, padding: list[int]
    ) -> torch.Tensor:
        ones = [1, 1]
        y = torch.ops.mkldnn._convolution_pointwise(
            self._as_pixels(x), weight, bias, padding, ones, ones, 1, "none", [], ""
        )
        return y if isinstance(self.layer, nn.Conv2d) else y.permute(0, 2, 3, 1).reshape(*x.shape[:-1], -1)


class _Frozen(torch.autograd.Function):
    """A frozen layer's output; nothing is saved, since no gradient but the input's is asked for."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, layer: Packed) -> torch.Tensor:
        ctx.layer = layer
        return layer.ahead(x)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        return ctx.layer.back(grads[0]), None
