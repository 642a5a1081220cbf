"""What blocks of transformers do between their products of matrices, in fewer kernels while a network learns.

Each is the same up to rounding as what diffusers spells out, and keeps less for the backward.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional


def while_learning(module: nn.Module, forward: Callable[..., Any]) -> None:
    """Let `module` compute by `forward` where gradients are kept; a drawing stays the library's own, bit for bit."""
    own = module.forward

    def chosen(*args: Any, **kwargs: Any) -> Any:
        return forward(module, *args, **kwargs) if torch.is_grad_enabled() else own(*args, **kwargs)

    module.forward = chosen


def modulated(norm: nn.LayerNorm, x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """norm(x) scale + shift, of x (B, tokens, C) by (B, 1, C): for one picture in the norm's own kernel."""
    if len(scale) == 1:
        return functional.layer_norm(x, norm.normalized_shape, scale.flatten(), shift.flatten(), norm.eps)
    return torch.addcmul(shift, norm(x), scale)


def swiglu(x: torch.Tensor) -> torch.Tensor:
    """silu(a) b of the halves a, b of the last axis (Shazeer 2020); only x is kept."""
    out: torch.Tensor = _SwiGlu.apply(x)
    return out


class _SwiGlu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        a, b = x.chunk(2, -1)
        return functional.silu(a) * b

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        a, b = x.chunk(2, -1)
        given = torch.empty_like(x)
        of_a, of_b = given.chunk(2, -1)
        torch.ops.aten.silu_backward.grad_input(grads[0] * b, a, grad_input=of_a)
        torch.mul(functional.silu(a), grads[0], out=of_b)
        return given
