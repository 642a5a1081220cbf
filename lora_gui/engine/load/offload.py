"""Keep frozen blocks in the computer's own memory and copy each one to the device just ahead of its use.

Nothing is copied back, since nothing frozen changes. A few buffers on the device are used in turn; on a GPU the copies
run on a stream of their own, from pinned memory, beside the arithmetic. Knows no family: it finds the numbered blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lora_gui.errors import UserError

_LISTS = ("transformer_blocks", "single_transformer_blocks", "blocks", "layers", "block")  # as the libraries call them
_ALIGNED = 256  # bytes; where a tensor may begin in a buffer
_PIECE = 1 << 20  # bytes; torch rounds pinned memory up to a power of two, so blocks are pinned in such pieces
RING = 2  # buffers: the block in use and the next one


def blocks(root: nn.Module) -> list[tuple[str, nn.Module]]:
    """The blocks that can be streamed, by path and in order: those that recomputing covers one by one."""
    found: list[tuple[str, nn.Module]] = []
    for path, module in root.named_modules():
        inside = any(path.startswith(f"{outer}.") for outer, _ in found)
        if isinstance(module, nn.ModuleList) and path.rpartition(".")[2] in _LISTS and not inside:
            found += [(f"{path}.{n}", block) for n, block in enumerate(module) if size(block)]
    return found


def size(block: nn.Module) -> int:
    """Bytes of what is frozen in a block, as it lies in a buffer."""
    return sum(_rounded(tensor.nbytes) for tensor in _frozen(block))


@dataclass(frozen=True)
class _Held:
    """One block in the computer's own memory: its tensors, their places in a buffer, and its bytes in pieces."""

    tensors: tuple[torch.Tensor, ...]
    places: tuple[tuple[int, torch.dtype, torch.Size], ...]
    pieces: tuple[torch.Tensor, ...]


class BlockOffloader:
    """Streams the last `count` blocks of `root`; add LoRAs only afterwards, so that they stay on the device.

    A part that is trained must have gradient checkpointing on: the backward then asks for each block by running it.
    """

    def __init__(self, root: nn.Module, device: torch.device, count: int, ring: int = RING) -> None:
        chosen = blocks(root)[-count:] if count else []
        if ring < 2:
            raise ValueError("a block in use and the next one need two buffers")
        self.root, self.device = root, device
        bytes_each = max((size(block) for _, block in chosen), default=0)
        self._held: list[_Held] = []
        for _, block in chosen:
            held = _hold(block, device)
            _empty(held, device)  # at once, so that no second copy of the whole is ever there
            self._held.append(held)
        self._buffers = [torch.empty(bytes_each, dtype=torch.uint8, device=device) for _ in range(ring)]
        self._inside: list[int | None] = [None] * ring  # which block a buffer holds
        self._arrived: list[Any] = [None] * ring  # event after its copy
        self._used = [0] * ring  # when it was last used
        self._copying = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._next: dict[tuple[int, int], int] = {}  # (block before, block) to the block that followed
        self._trail = (-1, -1)  # the two blocks used last
        self._time = 0
        self.copied = 0  # bytes, so far
        self._hooks = [
            block.register_forward_pre_hook(self._hook(number)) for number, (_, block) in enumerate(chosen)
        ]

    @property
    def ram(self) -> int:
        """Bytes held in the computer's own memory."""
        return sum(piece.nbytes for held in self._held for piece in held.pieces)

    @property
    def ring_bytes(self) -> int:
        """Bytes of the buffers on the device."""
        return sum(buffer.nbytes for buffer in self._buffers)

    def close(self) -> None:
        """Put the blocks back onto the device and stop streaming."""
        for hook in self._hooks:
            hook.remove()
        for held in self._held:
            data = torch.cat([piece.to(self.device) for piece in held.pieces])
            _point(held, data)
        self._held, self._buffers = [], []

    def _hook(self, number: int) -> Any:
        def before(module: nn.Module, args: Any) -> None:
            if torch.is_grad_enabled() and not _recomputes(self.root):
                raise UserError(
                    "A base that is streamed block by block cannot be trained without recomputing.",
                    "Switch 'Save memory by recomputing' on.",
                )
            self._use(number)

        return before

    def _use(self, number: int) -> None:
        """Have block `number` on the device, and send for the one that followed it the last time."""
        before, last = self._trail
        self._next[before, last] = number
        self._trail = (last, number)
        slot = self._fetch(number, spared=None)
        if self._arrived[slot] is not None:
            torch.cuda.current_stream(self.device).wait_event(self._arrived[slot])
        following = self._next.get(self._trail)
        if following is not None:
            self._fetch(following, spared=slot)

    def _fetch(self, number: int, spared: int | None) -> int:
        """The buffer that holds block `number`, or is being filled with it; never the one called `spared`."""
        self._time += 1
        if number in self._inside:
            slot = self._inside.index(number)
        else:
            slot = min((n for n in range(len(self._buffers)) if n != spared), key=self._used.__getitem__)
            self._fill(slot, number)
        self._used[slot] = self._time
        return slot

    def _fill(self, slot: int, number: int) -> None:
        """Copy a block into a buffer, after all that was asked of the buffer before."""
        held, buffer = self._held[number], self._buffers[slot]
        evicted = self._inside[slot]
        if evicted is not None:
            _empty(self._held[evicted], self.device)
        if self._copying is None:
            _copy(held, buffer)
        else:
            self._copying.wait_stream(torch.cuda.current_stream(self.device))
            with torch.cuda.stream(self._copying):
                _copy(held, buffer)
                self._arrived[slot] = self._copying.record_event()
        _point(held, buffer)
        self._inside[slot] = number
        self.copied += sum(piece.nbytes for piece in held.pieces)


def _frozen(block: nn.Module) -> Iterator[torch.Tensor]:
    """What of a block never changes, each tensor once."""
    seen: set[int] = set()
    for tensor in (*block.parameters(), *block.buffers()):
        if not tensor.requires_grad and tensor.numel() and id(tensor) not in seen:
            seen.add(id(tensor))
            yield tensor


def _hold(block: nn.Module, device: torch.device) -> _Held:
    """Copy a block's frozen tensors, one behind the other, into pieces of the computer's own memory."""
    tensors = tuple(_frozen(block))
    places, start = [], 0
    for tensor in tensors:
        places.append((start, tensor.dtype, tensor.shape))
        start += _rounded(tensor.nbytes)
    flat = torch.empty(start, dtype=torch.uint8)
    for tensor, (at, _, _) in zip(tensors, places, strict=True):
        flat[at : at + tensor.nbytes].copy_(tensor.detach().contiguous().view(-1).view(torch.uint8))
    pieces = (flat,) if device.type != "cuda" else tuple(_pinned(flat))
    return _Held(tensors, tuple(places), pieces)


def _pinned(flat: torch.Tensor) -> Iterator[torch.Tensor]:
    """`flat` in pinned pieces, each a power of two of bytes but the last."""
    start = 0
    while start < len(flat):
        left = len(flat) - start
        length = left if left <= _PIECE else 1 << (left.bit_length() - 1)
        yield flat[start : start + length].pin_memory()
        start += length


def _copy(held: _Held, buffer: torch.Tensor) -> None:
    start = 0
    for piece in held.pieces:
        buffer[start : start + len(piece)].copy_(piece, non_blocking=True)
        start += len(piece)


def _point(held: _Held, data: torch.Tensor) -> None:
    """Let a block's tensors be views of `data`."""
    for tensor, (start, dtype, shape) in zip(held.tensors, held.places, strict=True):
        length = shape.numel() * dtype.itemsize
        tensor.data = data[start : start + length].view(dtype).view(shape)


def _empty(held: _Held, device: torch.device) -> None:
    """Let a block's tensors keep their shape and take no memory."""
    for tensor, (_, dtype, shape) in zip(held.tensors, held.places, strict=True):
        tensor.data = torch.zeros((), dtype=dtype, device=device).expand(shape)


def _recomputes(root: nn.Module) -> bool:
    return any(getattr(module, "gradient_checkpointing", False) for module in root.modules())


def _rounded(length: int) -> int:
    return -(-length // _ALIGNED) * _ALIGNED
