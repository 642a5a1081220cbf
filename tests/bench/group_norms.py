"""Group norms in bf16 while learning, with channels laid first and by torch alone: milliseconds ahead and back.

`.venv/bin/python tests/bench/group_norms.py`, on a processor.
"""

from __future__ import annotations

from statistics import median
from time import perf_counter

import torch
from torch import nn

from lora_gui.engine.train import group_norms

_SHAPES = ((16, 64, 16), (16, 96, 8), (16, 160, 16), (16, 192, 4), (4, 64, 16))  # pictures, channels, side: the starter
_ROUNDS = 40


def main() -> None:
    for pictures, channels, side in _SHAPES:
        x = torch.randn(pictures, channels, side, side).bfloat16().to(memory_format=torch.channels_last)
        norms = [nn.GroupNorm(32, channels).bfloat16().requires_grad_(False) for _ in range(2)]
        group_norms.fuse(norms[1])
        taken = [_timed(norm, x) for norm in norms * _ROUNDS]
        torchs, own = median(taken[::2]), median(taken[1::2])
        print(f"{tuple(x.shape)!s:20} torch {torchs:6.3f} own {own:6.3f} ms: {torchs / own:.2f} x")


def _timed(norm: nn.Module, x: torch.Tensor) -> float:
    start = perf_counter()
    given = x.requires_grad_()
    torch.autograd.grad(norm(given), given, torch.ones_like(x))
    return 1000 * (perf_counter() - start)


if __name__ == "__main__":
    main()
