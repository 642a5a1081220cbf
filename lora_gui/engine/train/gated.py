"""The gated feed-forwards of U-Nets while a network learns: what they multiply is kept, and not its activation as well.

`x * GELU(gate)`, Shazeer 2020 (GLU Variants Improve Transformer): GELU(gate), a third of what is saved otherwise, is
computed again in the backward, in as many kernels as autograd takes and with the same result bit for bit.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.activations import GEGLU
from torch import nn
from torch.nn.functional import gelu

from lora_gui.families.shared.fused import while_learning


def fuse(root: nn.Module) -> None:
    """Let the gates of a network of diffusers do so where gradients are kept."""
    for module in root.modules():
        if type(module) is GEGLU:
            while_learning(module, _gate)


def _gate(gate: GEGLU, x: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    out: torch.Tensor = _Gated.apply(gate.proj(x))
    return out


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, both: torch.Tensor) -> torch.Tensor:
        """(..., 2 C), what is let through and then its gate, to (..., C)."""
        ctx.save_for_backward(both)
        through, gate = both.chunk(2, dim=-1)
        return through * gelu(gate)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        (both,), (grad,) = ctx.saved_tensors, grads
        through, gate = both.chunk(2, dim=-1)
        found = torch.empty_like(both)
        of_through, of_gate = found.chunk(2, dim=-1)
        torch.mul(grad, gelu(gate), out=of_through)
        torch.ops.aten.gelu_backward.grad_input(grad * through, gate, grad_input=of_gate)
        return found
