"""The blocks of diffusers' Wuerstchen prior in fewer kernels while they learn; the same up to rounding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers.pipelines.deprecated.wuerstchen import modeling_wuerstchen_common as library
from torch import nn

from lora_gui.families.shared import fused

_SMALL = 1e-6  # beside a mean that is divided by


def fuse(network: nn.Module) -> None:
    """Let the blocks of a network learn so."""
    forwards: dict[type, Callable[..., Any]] = {
        library.TimestepBlock: _timed,
        library.GlobalResponseNorm: _normed,
    }
    for module in network.modules():
        if (forward := forwards.get(type(module))) is not None:
            fused.while_learning(module, forward)


def _timed(block: Any, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """x (1 + a) + b, of x (B, C, h, w) by what the noise level gives."""
    a, b = block.mapper(t)[:, :, None, None].chunk(2, dim=1)
    return torch.addcmul(b, x, 1 + a)


def _normed(norm: Any, x: torch.Tensor) -> torch.Tensor:
    out: torch.Tensor = _ResponseNorm.apply(x, norm.gamma, norm.beta)
    return out


class _ResponseNorm(torch.autograd.Function):
    """x (1 + gamma n) + beta with n = g / (mean(g) + eps) over channels and g the norm of each over all places, of
    x (B, h, w, C): global response normalisation (Woo et al. 2023, ConvNeXt V2, algorithm 1); frozen gamma and beta."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, gamma: torch.Tensor, beta: torch.Tensor) -> torch.Tensor:
        norm = torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)  # (B, 1, 1, C)
        mean = norm.mean(-1, keepdim=True) + _SMALL
        response = norm / mean
        factor = (gamma * response).add_(1)
        ctx.save_for_backward(x, gamma, norm, mean, response, factor)
        return torch.addcmul(beta, x, factor)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        """With d = mean(g) + eps: dL/dg = (dL/dn - mean(dL/dn n)) / d, and dg/dx = x / g."""
        x, gamma, norm, mean, response, factor = ctx.saved_tensors
        of_response = (grads[0] * x).sum((1, 2), keepdim=True).mul_(gamma)
        of_norm = of_response.sub_((of_response * response).mean(-1, keepdim=True))
        along = of_norm.div_(mean).div_(norm).masked_fill_(norm == 0, 0)  # their product would be 0 in fp16
        return (grads[0] * factor).addcmul_(x, along), None, None
