"""RMSNorm in one kernel each way while a network learns; diffusers' own takes six, and saves its input in fp32."""

from __future__ import annotations

import torch
from diffusers.models.normalization import RMSNorm
from torch import nn

from lora_gui.families.shared.fused import while_learning


def fuse(root: nn.Module) -> None:
    """Let the norms of a frozen network compute so where gradients are kept; a drawing stays diffusers' own."""
    for module in root.modules():
        if type(module) is RMSNorm and module.bias is None:
            while_learning(module, _in_one_kernel)


def _in_one_kernel(norm: RMSNorm, x: torch.Tensor) -> torch.Tensor:
    weight = norm.weight
    if weight is not None and weight.dtype != x.dtype:
        own: torch.Tensor = RMSNorm.forward(norm, x)
        return own
    return nn.functional.rms_norm(x, tuple(norm.dim), weight, norm.eps)
