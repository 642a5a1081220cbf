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


Within = tuple[float, float]  # shares of the noisiest timestep
ALL: Within = (0.0, 1.0)


def applied(bias: str, timesteps: torch.Tensor, noisiest: float, within: Within = ALL) -> torch.Tensor:
    """Timesteps (B,) as `bias` moves them, then evenly brought `within` some; in the base's own units and dtype. Of
    whole numbers none of those is left out."""
    move, (least, most) = BIASES[bias], within
    if move is None and within == ALL:
        return timesteps
    whole = not timesteps.is_floating_point()
    shares = (timesteps + 0.5 * whole) / noisiest
    moved = (least + (most - least) * (move(shares) if move else shares)) * noisiest
    return moved.floor().clamp(0, noisiest - 1).to(timesteps.dtype) if whole else moved
