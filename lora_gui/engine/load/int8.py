"""Products of frozen int8 weights with activations quantised as they come (W8A8), where a card is quicker at them.

Each token has a scale of its own, as each row of the weight has (Dettmers et al. 2022, LLM.int8(), section 2.1). The
gradient of an input stays in the compute dtype: few of its values are large, which would drown the others in int8.
"""

from __future__ import annotations

from functools import cache

import torch

TOKENS = 16  # more than so many are needed
_MULTIPLE = 8  # that sides of matrices must be
_AT_ONCE = 1 << 27  # bytes of sums and the like, which are wider than what comes of them, and which no plan counts
_SINCE = {"cuda": (8, 0)}  # compute capability by device: older cards gain nothing by it


def applies(x: torch.Tensor, rows: torch.Tensor) -> bool:
    """Whether `x` (..., in) is multiplied by int8 weights (out, in) as they are; else these are dequantised."""
    fits = x.numel() // x.shape[-1] > TOKENS and not any(side % _MULTIPLE for side in rows.shape)
    return fits and _is_quick(x.device)


@cache
def _is_quick(device: torch.device) -> bool:
    since = _SINCE.get(device.type)
    return since is not None and torch.cuda.get_device_capability(device) >= since


def linear(x: torch.Tensor, rows: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """x W^T + b for x (..., in) and W = scale * rows, (out, 1) fp32 and (out, in) int8, in the dtype of `x`."""
    given = x.reshape(-1, x.shape[-1])
    y = given.new_empty((len(given), len(rows)))
    parts = min(-(-8 * len(given) * sum(rows.shape) // _AT_ONCE), len(given) // (TOKENS + 1))
    for part, out in zip(given.tensor_split(parts), y.tensor_split(parts), strict=True):
        tokens, own = quantised(part)
        out.copy_(torch._int_mm(tokens, rows.t()).mul(scale.t()).mul_(own))  # of int32 in fp32
    return (y if bias is None else y.add_(bias)).view(*x.shape[:-1], -1)


def quantised(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows (tokens, in) in int8, and the scale of each, (tokens, 1) fp32."""
    scale = x.abs().amax(1, keepdim=True).float().clamp(min=1e-12).div_(127)
    return x.div(scale).round_().to(torch.int8), scale  # of bf16 by fp32: in fp32
