"""A frozen layer in the graph: nothing is saved for it, since no gradient but that of its input is asked for."""

from __future__ import annotations

from typing import Any, Protocol

import torch


class Frozen(Protocol):
    """A layer whose weight is held in another form than torch's own, and does not learn."""

    def ahead(self, x: torch.Tensor) -> torch.Tensor:
        """Its output for `x`, (..., in) or (B, C, H, W)."""

    def back(self, grad: torch.Tensor) -> torch.Tensor:
        """The gradient of its input, from that of its output."""


def passed(x: torch.Tensor, layer: Frozen) -> torch.Tensor:
    """What a frozen layer gives for `x`, whose gradient alone is kept for."""
    if not (x.requires_grad and torch.is_grad_enabled()):
        return layer.ahead(x)
    out: torch.Tensor = _Passed.apply(x, layer)
    return out


class _Passed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, layer: Frozen) -> torch.Tensor:
        ctx.layer = layer
        return layer.ahead(x)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        return ctx.layer.back(grads[0]), None
