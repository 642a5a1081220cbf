"""What diffusers' layers compute for nothing or the slow way while a network learns, spared: with the same results.

Divisions by one, of which a U-Net has two for each residual block and one for each attention; and on a processor in
16 bits torch's fused attention, whose backward takes up to seven times as long as plain products where scores are few.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor, AttnProcessor2_0
from torch import nn

_FACTORS = ("output_scale_factor", "rescale_output_factor")
_FEW = 1024 * 1024  # scores of one head; of more the fused attention is as quick, and it does not keep them


def fuse(root: nn.Module) -> None:
    """Spare them in a frozen network."""
    for module in root.modules():
        for name in _FACTORS:
            if getattr(module, name, None) == 1.0:
                setattr(module, name, _One())
        if isinstance(module, Attention) and type(module.processor) is AttnProcessor2_0 and _in_16_bits(module):
            module.processor = _BySize()
            module.get_attention_scores = _Scores(module, module.get_attention_scores)  # type: ignore[method-assign]


class _One:
    """A one by which nothing is divided; no float, for a tensor would divide by that."""

    def __rtruediv__(self, other: torch.Tensor) -> torch.Tensor:
        return other


def _in_16_bits(module: nn.Module) -> bool:
    first = next(module.parameters())
    return first.device.type == "cpu" and first.dtype in (torch.bfloat16, torch.float16)


class _BySize:
    """Attention by plain products where gradients are kept and the scores are few, else by torch's fused kernel."""

    def __init__(self) -> None:
        self._plain, self._fused = AttnProcessor(), AttnProcessor2_0()

    def __call__(
        self, attn: Attention, hidden_states: torch.Tensor, encoder_hidden_states: torch.Tensor | None = None,
        *args: Any, **kwargs: Any,
    ) -> torch.Tensor:  # fmt: skip
        others = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        few = torch.is_grad_enabled() and hidden_states.ndim == 3 and hidden_states.shape[1] * others.shape[1] <= _FEW
        chosen = self._plain if few else self._fused
        out: torch.Tensor = chosen(attn, hidden_states, encoder_hidden_states, *args, **kwargs)
        return out


@dataclass(frozen=True)
class _Scores:
    """The share each query has of each key, softmax(q k^T scale), made and differentiated in place."""

    module: Attention
    own: Any  # diffusers' method

    def __call__(self, query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        if mask is not None or self.module.upcast_attention or self.module.upcast_softmax:
            found: torch.Tensor = self.own(query, key, mask)
        else:
            found = _Shares.apply(query * self.module.scale, key)
        return found


class _Shares(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        """(B heads, S, D) and (B heads, T, D) to (B heads, S, T)."""
        shares = query @ key.transpose(1, 2)
        torch.ops.aten._softmax.out(shares, -1, False, out=shares)
        ctx.save_for_backward(query, key, shares)
        return shares

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        (query, key, shares), (grad,) = ctx.saved_tensors, grads  # the gradient is the product's own: nobody else's
        torch.ops.aten._softmax_backward_data.out(grad, shares, -1, shares.dtype, grad_input=grad)
        return grad @ key, grad.transpose(1, 2) @ query
