"""What blocks of transformers do between their products of matrices, in fewer kernels while a network learns.

Each is the same up to rounding as what diffusers spells out, and keeps less for the backward.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


# Rotary embeddings as one complex product, (x_1 + i x_2)(cos + i sin) in fp32: Su et al. 2021 (RoFormer), section 3.2.2

Turns = tuple[torch.Tensor, torch.Tensor]  # (S, 1, D / 2) complex: by the angles, and back


def turns(cos: torch.Tensor, sin: torch.Tensor) -> Turns:
    """Of angles (S, D), each there twice, the turns and the turns back."""
    cos, sin = (one[:, None, ::2].float() for one in (cos, sin))
    return torch.complex(cos, sin), torch.complex(cos, -sin)


def turned(x: torch.Tensor, ahead: torch.Tensor, back: torch.Tensor) -> torch.Tensor:
    """Rotary embeddings of x (B, S, heads, D) in its own dtype, neighbours being one complex number."""
    out: torch.Tensor = _Turned.apply(x, ahead, back)
    return out


def both_turned(
    one: torch.Tensor, other: torch.Tensor, ahead: torch.Tensor, back: torch.Tensor
) -> Sequence[torch.Tensor]:
    """The same of queries and keys at once, (B, S, heads, D) each."""
    out: Sequence[torch.Tensor] = _BothTurned.apply(one, other, ahead, back)
    return out


class _Turned(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, ahead: torch.Tensor, back: torch.Tensor) -> torch.Tensor:
        ctx.back = back
        return _product(x, ahead)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return _product(grads[0], ctx.back), None, None


class _BothTurned(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, one: torch.Tensor, other: torch.Tensor, ahead: torch.Tensor, back: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        ctx.back = back
        return _products(one, other, ahead)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return (*_products(grads[0], grads[1], ctx.back), None, None)


def _product(x: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    given = x.float()
    given = given if x.stride(-1) == 1 else given.contiguous()  # a key's gradient lies so where attention is plain
    pairs = torch.view_as_complex(given.reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * by).flatten(-2).to(x.dtype)


def _products(one: torch.Tensor, other: torch.Tensor, by: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Both are cast and laid side by side in one kernel."""
    both = one.new_empty((2, *one.shape), dtype=torch.float32)
    torch.stack((one, other), out=both)
    torch.view_as_complex(both.unflatten(-1, (-1, 2))).mul_(by)
    return both.to(one.dtype).unbind()
