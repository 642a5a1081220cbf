"""What diffusers' layers compute for nothing or the slow way while a network learns, spared: with the same results.

Divisions by one, of which a U-Net has two for each residual block and one for each attention; and on a processor in
16 bits torch's fused attention, whose backward takes up to seven times as long as plain products where scores are few.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor, AttnProcessor2_0
from torch import nn

_FACTORS = ("output_scale_factor", "rescale_output_factor")
_FEW = 512 * 512  # scores of one head; of more the fused attention is as quick, and it does not keep them


def fuse(root: nn.Module) -> None:
    """Spare them in a frozen network."""
    for module in root.modules():
        for name in _FACTORS:
            if getattr(module, name, None) == 1.0:
                setattr(module, name, _One())
        if isinstance(module, Attention) and type(module.processor) is AttnProcessor2_0 and _in_16_bits(module):
            module.processor = _BySize()


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
