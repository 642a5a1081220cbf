"""Frozen layers in oneDNN's blocked layout, so that a processor need not reorder their weights at each use.

`tests/bench/speed.py` times the step. A layer holds two copies then, one for each direction, and its plain weight goes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import MethodType
from typing import Any

import psutil
import torch
from torch import nn

from lora_gui.engine.load.frozen import passed
from lora_gui.engine.load.loading import nbytes

_ROOM = 4  # times a network's bytes that the computer must have: two copies, the activations, everybody else
_SMALLEST = 4096  # values; smaller weights are reordered faster than they are looked up
_TOLD = 460  # bytes at the end of a description that say how values lie; what stands before tells of sizes
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
        plain = module.dilation == (1, 1) and module.groups == 1
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
        self._kernel, self._padding, self._strides = [1, 1], [0, 0], [1, 1]
        if isinstance(layer, nn.Conv2d):
            self._kernel, self._padding, self._strides = ([int(one) for one in two] for two in _geometry(layer))
        self._ahead, self._back = _Layouts(self._ordered), _Layouts(self._ordered_to_go_back)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What the layer gives."""
        return passed(x, self if self._strides == [1, 1] else _Striding(self, self._left_over(x)))

    def ahead(self, x: torch.Tensor) -> torch.Tensor:
        """The layer's output for `x`, (B, C, H, W) or (..., C)."""
        pixels, how = self._as_pixels(x), (self._padding, self._strides, [1, 1], 1)
        weight = self._ahead.of(tuple(pixels.shape[2:]), self._weight)
        y = torch.ops.mkldnn._convolution_pointwise(pixels, weight, self.bias, *how, "none", [], "")
        return self._as_given(y, x)

    def back(self, grad: torch.Tensor, left_over: tuple[int, int] = (0, 0)) -> torch.Tensor:
        """The gradient of the input, from that of the output: a transposed convolution with the same weight.

        `left_over` pixels of the input's height and width were too few for another stride.
        """
        pixels, how = self._as_pixels(grad), (self._padding, [*left_over], self._strides, [1, 1], 1)
        packed = self._back.of((*pixels.shape[2:], *left_over), self._weight)
        if self._ahead.held and (weight := self.layer.weight).stride().count(0) < weight.ndim:
            weight.data = weight.new_zeros(()).expand(weight.shape)  # both directions are packed: its memory goes
        y = torch.ops.mkldnn._convolution_transpose_pointwise(pixels, packed, None, *how, "none", [], "")
        return self._as_given(y, grad)

    def _left_over(self, x: torch.Tensor) -> tuple[int, int]:
        sides = zip(x.shape[2:], self._kernel, self._padding, self._strides, strict=True)
        height, width = ((side + 2 * pad - kernel) % stride for side, kernel, pad, stride in sides)
        return height, width

    def _weight(self) -> torch.Tensor:
        """(out, in, height, width)."""
        if self._back.held and self._ahead.held:  # the plain one has gone
            return self._ahead.held[0].to_dense()
        weight = self.layer.weight.detach()
        return weight if weight.ndim == 4 else weight[:, :, None, None]

    def _as_pixels(self, x: torch.Tensor) -> torch.Tensor:
        if isinstance(self.layer, nn.Conv2d):
            return x.contiguous(memory_format=torch.channels_last)
        return x.reshape(1, -1, 1, x.shape[-1]).permute(0, 3, 1, 2)

    def _as_given(self, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return y if isinstance(self.layer, nn.Conv2d) else y.permute(0, 2, 3, 1).reshape(*x.shape[:-1], -1)

    def _ordered(self, weight: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
        given, order = [1, weight.shape[1], *size], torch.ops.aten.mkldnn_reorder_conv2d_weight
        return order(weight.to_mkldnn(), self._padding, self._strides, [1, 1], 1, given)

    def _ordered_to_go_back(self, weight: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
        given, left_over = [1, weight.shape[0], *size[:2]], [*size[2:]]
        order = torch.ops.mkldnn._reorder_convolution_transpose_weight
        return order(weight, self._padding, left_over, self._strides, [1, 1], 1, given)


@dataclass(frozen=True)
class _Striding:
    """A convolution with a stride, for inputs of one size, of which the outputs do not tell."""

    packed: Packed
    left_over: tuple[int, int]

    def ahead(self, x: torch.Tensor) -> torch.Tensor:
        return self.packed.ahead(x)

    def back(self, grad: torch.Tensor) -> torch.Tensor:
        return self.packed.back(grad, self.left_over)


class _Layouts:
    """A weight in each layout that oneDNN wants for the sizes it meets: one or two. In another it is reordered at each
    use, by a path that is slower than the convolution itself. Which it is follows from the size alone, not from what
    came first: a resumed run rounds as the undisturbed one does."""

    def __init__(self, ordered: Callable[[torch.Tensor, tuple[int, ...]], torch.Tensor]) -> None:
        self.ordered = ordered  # the plain weight as it is wanted for a size
        self.by_size: dict[tuple[int, ...], torch.Tensor] = {}
        self.held: list[torch.Tensor] = []

    def of(self, size: tuple[int, ...], weight: Callable[[], torch.Tensor]) -> torch.Tensor:
        """The weight for pixels of this size; `weight` gives it plain where that is a new one."""
        found = self.by_size.get(size)
        if found is None:
            new = self.ordered(weight(), size)
            found = next((one for one in self.held if _layout(one) == _layout(new)), new)
            if found is new:
                self.held.append(new)
            self.by_size[size] = found
        return found


def _geometry(layer: nn.Conv2d) -> tuple[Iterable[Any], ...]:
    """Kernel, padding and stride, each for height and width."""
    return layer.kernel_size, layer.padding, layer.stride


def _layout(weight: torch.Tensor) -> bytes:
    """What tells layouts apart: the end of oneDNN's description, its strides and blocks."""
    told: torch.Tensor = torch.ops.mkldnn._get_mkldnn_serialized_md(weight)
    return bytes(told[-_TOLD:].numpy())
