"""Run a network without weights or arithmetic and count what it would hold in memory, and how much it would compute.

All tensors are on the meta device: they have a shape, a format and a storage of a size, and no contents. What is alive
is counted from the storages themselves, so views, tensors kept for the backward and recomputing are all as they are.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

_FLASH_WIDTH = 256  # widest attention head of the flash kernel


@dataclass(frozen=True)
class Trace:
    """What one run would need beyond the network's own weights; bytes, and FLOP (one multiply-add = 2)."""

    peak: int  # of all that was alive at once
    saved: int  # alive when the forward had ended: what the backward needs
    gradients: int  # of the LoRA
    forward_flop: int
    flop: int  # with the backward and what is recomputed in it

    def to_json(self) -> dict[str, int]:
        return asdict(self)


class Live(TorchDispatchMode):
    """Counts the bytes of all storages made while it is on, and of those still alive; and the arithmetic.

    The weights of `networks` were there before, so neither they nor views of them count.
    """

    def __init__(self, networks: Iterable[nn.Module] = ()) -> None:
        super().__init__()
        self.now, self.peak, self.flop = 0, 0, 0
        held = (tensor for network in networks for tensor in (*network.parameters(), *network.buffers()))
        self._older = {tensor.untyped_storage()._cdata for tensor in held}
        self._alive: dict[int, weakref.ref] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.flop += count(*args, **kwargs, out_val=out)
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, torch.Tensor):
                self._see(tensor)
        return out

    def _see(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._alive or key in self._older:
            return
        self.now += size
        self.peak = max(self.peak, self.now)

        def gone(_: Any) -> None:
            self.now -= size
            self._alive.pop(key, None)

        self._alive[key] = weakref.ref(storage, gone)


def attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
) -> torch.Tensor:  # fmt: skip
    """Attention by the kernels that a GPU takes, which never hold the square of scores.

    On the CPU and the meta device torch would fall back to plain arithmetic, which does. The real kernels' own shapes
    are used, forward and backward: flash for half precision without a mask, memory-efficient for the rest.
    """
    if enable_gqa and key.shape[1] != query.shape[1]:
        key, value = (t.repeat_interleave(query.shape[1] // key.shape[1], dim=1) for t in (key, value))
    half = query.dtype in (torch.float16, torch.bfloat16)
    if half and attn_mask is None and query.shape[-1] <= _FLASH_WIDTH:
        flash = torch.ops.aten._scaled_dot_product_flash_attention
        return flash(query, key, value, dropout_p, is_causal, False, scale=scale)[0]
    bias = None
    if attn_mask is not None:
        shape = (*query.shape[:3], key.shape[2])
        bias = torch.zeros(attn_mask.shape, dtype=query.dtype, device=query.device).expand(shape)
    needed = any(t.requires_grad for t in (query, key, value))
    efficient = torch.ops.aten._scaled_dot_product_efficient_attention
    return efficient(query, key, value, bias, needed, dropout_p, is_causal, scale=scale)[0]


@contextmanager
def gpu_attention() -> Iterator[None]:
    """Let `attention` stand in for torch's while a network is traced; recomputing in the backward included."""
    original = functional.scaled_dot_product_attention
    functional.scaled_dot_product_attention = attention  # type: ignore[assignment]
    try:
        yield
    finally:
        functional.scaled_dot_product_attention = original


def forward(network: nn.Module, call: Callable[[], Any]) -> Trace:
    """What `call`, which uses `network`, would need, without gradients."""
    live = Live([network])
    with torch.no_grad(), gpu_attention(), live:
        out = call()
    peak, flop = live.peak, live.flop
    del out
    return Trace(peak, 0, 0, flop, flop)


def training(
    networks: Iterable[nn.Module], calls: Sequence[Callable[[], torch.Tensor]], weights: list[nn.Parameter]
) -> Trace:
    """What one step of training would need: the forward of every part, one loss of them all, the backward."""
    live = Live(networks)
    with gpu_attention(), live:
        losses = [call().float().pow(2).mean() for call in calls]
        saved, flop = live.now, live.flop
        loss = torch.stack(losses).sum()
        del losses
        loss.backward()
    gradients = sum(weight.grad.nbytes for weight in weights if weight.grad is not None)
    for weight in weights:
        weight.grad = None
    return Trace(live.peak, saved, gradients, flop, live.flop)
