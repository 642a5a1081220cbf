"""Rotary embeddings as one complex product each way while a network learns; diffusers' own take eight kernels and ten.

As (x_1 + i x_2)(cos + i sin) in fp32, Su et al. 2021 (RoFormer), section 3.2.2.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from diffusers.models import embeddings
from torch import nn

from lora_gui.families.shared import fused

_NAME = "apply_rotary_emb"


def fuse(root: nn.Module) -> None:
    """Let the attention of a network of diffusers turn its queries and keys so where gradients are kept.

    Its module calls a function by name, so it is the module of the class that is changed, for all of its networks.
    """
    module = sys.modules[type(root).__module__]
    if getattr(module, _NAME, None) is embeddings.apply_rotary_emb:
        setattr(module, _NAME, _Rotary())


class _Rotary:
    """In the place of diffusers' function; keeps the turns of the last angles, which all blocks of a pass share."""

    def __init__(self) -> None:
        self._of: tuple[torch.Tensor, torch.Tensor] | None = None
        self._turns: tuple[torch.Tensor, torch.Tensor] | None = None

    def __call__(self, x: torch.Tensor, freqs_cis: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        alike = isinstance(freqs_cis, tuple) and not args and kwargs == {"sequence_dim": 1}
        if not alike or not torch.is_grad_enabled():
            return embeddings.apply_rotary_emb(x, freqs_cis, *args, **kwargs)
        if self._of is None or any(one is not other for one, other in zip(self._of, freqs_cis, strict=True)):
            self._of, self._turns = freqs_cis, fused.turns(*freqs_cis)
        ahead, back = self._turns or fused.turns(*freqs_cis)
        return fused.turned(x, ahead, back)
