"""Trace one block of many equal ones and count it as often as it is there, which takes a tenth of the time.

Of a row of equal blocks the first, the second and the last stay: the first takes its input from before the row, the
last is the first in the backward, and each of the others does what the second does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import nn

from lora_gui.engine.load import offload


@dataclass(frozen=True)
class Blocks:
    """What is left of a row of equal blocks, in their order; the `second` stands for `times` of them."""

    first: nn.Module
    second: nn.Module
    last: nn.Module
    times: int


def shorten(root: nn.Module) -> list[Blocks]:
    """Take all blocks out of `root` that are as good as others, and say what was left of each row."""
    runs: list[Blocks] = []
    for path in dict.fromkeys(path.rpartition(".")[0] for path, _ in offload.blocks(root)):
        kept: list[nn.Module] = []
        for _, equal in groupby(root.get_submodule(path).children(), key=_form):
            blocks = list(equal)
            if len(blocks) > 3:
                runs.append(Blocks(blocks[0], blocks[1], blocks[-1], len(blocks) - 2))
                blocks = [blocks[0], blocks[1], blocks[-1]]
            kept += blocks
        above, _, name = path.rpartition(".")
        setattr(root.get_submodule(above), name, nn.ModuleList(kept))
    return runs


def times_of(runs: Iterable[Blocks]) -> Callable[[Any], int]:
    """How often a module, a weight or a buffer of a shortened network is there in the whole one."""
    often: dict[int, int] = {}
    for run in runs:
        held = (*run.second.modules(), *run.second.parameters(), *run.second.buffers())
        often |= {id(one): run.times for one in held}
    return lambda one: often.get(id(one), 1)


@contextmanager
def marking(runs: Iterable[Blocks], mark: Callable[[int], None]) -> Iterator[None]:
    """Call `mark` where a stretch of the computation begins, with how often that is done in the whole network.

    For the forward within this context, and later for its backward, in which what is recomputed marks nothing.
    """
    hooks = []
    for run in runs:
        for block, times in ((run.second, run.times), (run.last, 1)):
            hooks.append(block.register_forward_pre_hook(lambda *_, times=times: mark(times)))
        for block, times in ((run.second, run.times), (run.first, 1)):
            hooks.append(block.register_forward_hook(_on_the_way_back(mark, times)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _on_the_way_back(mark: Callable[[int], None], times: int) -> Callable[[Any, Any, Any], None]:
    """A hook that marks once, when the first gradient of a block's outputs arrives."""

    def after(module: Any, args: Any, out: Any) -> None:
        met: list[bool] = []

        def arrived(_: torch.Tensor) -> None:
            if not met:
                mark(times)
            met.append(True)

        for one in out if isinstance(out, tuple) else (out,):
            if isinstance(one, torch.Tensor) and one.requires_grad:
                one.register_hook(arrived)

    return after


def _form(block: nn.Module) -> Any:
    """What two blocks have in common that do the same."""
    kinds = [(name, type(module)) for name, module in block.named_modules()]
    return kinds, [(name, one.shape, one.dtype) for name, one in (*block.named_parameters(), *block.named_buffers())]
