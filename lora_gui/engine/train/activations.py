"""Activations that wait in RAM for the backward, copied while the device computes on."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lora_gui.engine.load.offload import chunked

_SMALLEST = 1 << 20  # bytes; what is smaller stays, since there is little of it and each copy has its price
_AHEAD = 2  # tensors that come back ahead of their use: blocks of two streams have two inputs


@dataclass(eq=False)
class _Waiting:
    """The `number`th tensor that a forward saved: how it is to be again, and its bytes in RAM."""

    number: int
    shape: torch.Size
    stride: tuple[int, ...]
    dtype: torch.dtype
    chunks: tuple[torch.Tensor, ...] = ()
    back: torch.Tensor | None = None  # there again, once `arrived`
    arrived: Any = None  # CUDA event


class InRam:
    """What a network's forward saves for the backward, from 1 MiB on, waits in RAM; its weights stay where they are.

    Within a checkpointed block nothing is saved, so this is about the inputs of blocks. On a GPU the RAM is pinned,
    both ways run on a stream of their own, and what the backward needs next comes ahead of it, in the order of the last
    one. On the meta device, which the memory plan counts with, nothing is copied.
    """

    def __init__(self, root: nn.Module, device: torch.device) -> None:
        self.device = device
        self._root, self._inner = root, root.forward
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._own: set[int] = set()  # storages of the weights
        self._saved: list[weakref.ref[_Waiting]] = []  # by this forward
        self._following: dict[int, int] = {}  # from one to what the backward asked for after it
        self._last: int | None = None
        self.moved = 0  # bytes, so far

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The network's own, its saved tensors moved."""
        if not torch.is_grad_enabled():
            return self._inner(*args, **kwargs)
        weights = (*self._root.parameters(), *self._root.buffers())
        self._own = {weight.untyped_storage()._cdata for weight in weights}
        self._saved, self._last = [], None
        with torch.autograd.graph.saved_tensors_hooks(self._pack, self._unpack):
            return self._inner(*args, **kwargs)

    def _pack(self, tensor: torch.Tensor) -> torch.Tensor | _Waiting:
        there = tensor.device.type == self.device.type
        if tensor.nbytes < _SMALLEST or not there or tensor.untyped_storage()._cdata in self._own:
            return tensor
        if not _is_dense(tensor):
            tensor = tensor.contiguous()
        waiting = _Waiting(len(self._saved), tensor.shape, tensor.stride(), tensor.dtype)
        self._saved.append(weakref.ref(waiting))
        self.moved += tensor.nbytes
        if self.device.type != "meta":
            waiting.chunks = tuple(torch.empty_like(one, device="cpu", pin_memory=self._stream is not None)
                                   for one in chunked(_flat(tensor)))  # fmt: skip
            self._copy(tuple(chunked(_flat(tensor))), waiting.chunks)
        return waiting

    def _unpack(self, kept: torch.Tensor | _Waiting) -> torch.Tensor:
        if isinstance(kept, torch.Tensor):
            return kept
        if self._last is not None:
            self._following[self._last] = kept.number
        self._last = kept.number
        self._fetch(kept)
        if kept.arrived is not None:
            torch.cuda.current_stream(self.device).wait_event(kept.arrived)
        self._fetch_ahead(kept.number)
        back, kept.back = kept.back, None
        assert back is not None
        return back

    def _fetch_ahead(self, number: int) -> None:
        for _ in range(_AHEAD):
            number = self._following.get(number, number - 1)
            found = self._saved[number]() if 0 <= number < len(self._saved) else None
            if found is not None:
                self._fetch(found)

    def _fetch(self, waiting: _Waiting) -> None:
        """Begin to copy one back, into memory that all compute so far has left."""
        if waiting.back is not None:
            return
        waiting.back = torch.empty_strided(waiting.shape, waiting.stride, dtype=waiting.dtype, device=self.device)
        if waiting.chunks:
            waiting.arrived = self._copy(waiting.chunks, tuple(chunked(_flat(waiting.back))))

    def _copy(self, sources: tuple[torch.Tensor, ...], targets: tuple[torch.Tensor, ...]) -> Any:
        """Copy bytes; on a GPU beside its compute, with an event behind it."""
        if self._stream is None:
            for source, target in zip(sources, targets, strict=True):
                target.copy_(source)
            return None
        self._stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self._stream):
            for source, target in zip(sources, targets, strict=True):
                target.copy_(source, non_blocking=True)
                (source if source.is_cuda else target).record_stream(self._stream)
            return self._stream.record_event()


def _is_dense(tensor: torch.Tensor) -> bool:
    """Whether its values lie side by side in memory, in whichever order."""
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size != 1:
            if stride != expected:
                return False
            expected *= size
    return True


def _flat(tensor: torch.Tensor) -> torch.Tensor:
    """The bytes of a dense tensor as they lie in memory."""
    return tensor.detach().as_strided((tensor.numel(),), (1,)).view(torch.uint8)
