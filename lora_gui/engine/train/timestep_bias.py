"""Which noise levels are met more often: noisy ones, where layout is settled, or clear ones, where the look is.

Cubic, as ai-toolkit has it (train.content_or_style) after T2I-Adapter (Mou et al. 2023, section 3.4), but of whatever
the base itself would draw: a base that was made with more of some levels keeps that.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

_POWER = 3
# from shares of the noisiest timestep, in [0, 1], to shares
BIASES: dict[str, Callable[[torch.Tensor], torch.Tensor] | None] = {
    "balanced": None,
    "content": lambda share: 1 - (1 - share) ** _POWER,
    "style": lambda share: share**_POWER,
}


def applied(bias: str, timesteps: torch.Tensor, noisiest: float) -> torch.Tensor:
    """Timesteps (B,) as `bias` moves them, in the base's own units and dtype; of whole numbers none is left out."""
    move = BIASES[bias]
    if move is None:
        return timesteps
    if timesteps.is_floating_point():
        return move(timesteps / noisiest) * noisiest
    moved = move((timesteps + 0.5) / noisiest) * noisiest
    return moved.floor().clamp(0, noisiest - 1).to(timesteps.dtype)
