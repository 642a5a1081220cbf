"""What FLUX.1 and FLUX.2 share: latents as tokens, and where each token stands."""

from __future__ import annotations

import torch


def without_fp16(dtype: torch.dtype) -> torch.dtype:
    """The number format asked for, or bf16, which is as small, where that is fp16, in which these bases overflow."""
    return torch.bfloat16 if dtype == torch.float16 else dtype


def patches(latents: torch.Tensor) -> torch.Tensor:
    """Cells in blocks of 2 x 2 put on top of each other: (B, C, h, w) to (B, 4C, h/2, w/2)."""
    return torch.nn.functional.pixel_unshuffle(latents, 2)


def cells(patched: torch.Tensor) -> torch.Tensor:
    """The opposite of `patches`: (B, 4C, h, w) to (B, C, 2h, 2w)."""
    return torch.nn.functional.pixel_shuffle(patched, 2)


def tokens(patched: torch.Tensor) -> torch.Tensor:
    """(B, C, h, w) to (B, h * w, C), row by row."""
    return patched.flatten(2).transpose(1, 2)


def untokened(rows: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """The opposite of `tokens`: (B, h * w, C) to (B, C, h, w)."""
    return rows.transpose(1, 2).unflatten(2, (height, width))


def position_ids(height: int, width: int, axes: int, device: torch.device) -> torch.Tensor:
    """Where each token of a picture stands: (0, row, column), filled with zeros up to so many axes; (h * w, axes)."""
    grid = torch.zeros((height, width, axes), device=device)
    grid[..., 1] = torch.arange(height, device=device)[:, None]
    grid[..., 2] = torch.arange(width, device=device)
    return grid.flatten(0, 1)
