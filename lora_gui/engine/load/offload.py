"""Double-buffered CPU offload of frozen blocks: each is copied to the device just ahead of its use.

Nothing is copied back, since frozen weights do not change. On a GPU the copies run on a CUDA stream of their own, from
pinned memory, and overlap with compute. Knows no family: it finds the numbered blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lora_gui.errors import UserError

_LISTS = ("transformer_blocks", "single_transformer_blocks", "blocks", "layers", "block")  # as the libraries call them
_ALIGNED = 256  # bytes; alignment of tensors within a buffer
_CHUNK = 1 << 20  # bytes; torch rounds pinned memory up to a power of two, so a block is pinned in chunks of that kind
RING = 2  # device buffers: the block in use and the one prefetched


def blocks(root: nn.Module) -> list[tuple[str, nn.Module]]:
    """The blocks that can be offloaded, by module path, in order: those with gradient checkpointing of their own."""
    found: list[tuple[str, nn.Module]] = []
    for path, module in root.named_modules():
        inside = any(path.startswith(f"{outer}.") for outer, _ in found)
        if isinstance(module, nn.ModuleList) and path.rpartition(".")[2] in _LISTS and not inside:
            found += [(f"{path}.{n}", block) for n, block in enumerate(module) if size(block)]
    return found


def fetch(block: nn.Module) -> None:
    """Have the weights of a block there, as right before its forward; those of one or two others go."""
    for hook in block._forward_pre_hooks.values():
        with torch.no_grad():
            hook(block, ())


def size(block: nn.Module) -> int:
    """Bytes of a block's frozen tensors, laid out in a buffer."""
    return sum(_rounded(tensor.nbytes) for tensor in _frozen(block))


@dataclass(frozen=True)
class Host:
    """Tensors in host memory: their offsets in a buffer, and its bytes in chunks."""

    tensors: tuple[torch.Tensor, ...]
    layout: tuple[tuple[int, torch.dtype, torch.Size], ...]  # offset in bytes, dtype, shape
    chunks: tuple[torch.Tensor, ...]

    @classmethod
    def of(cls, tensors: Iterable[torch.Tensor], device: torch.device) -> Host:
        """Copy tensors, one behind the other, into host memory; pinned where `device` is a GPU."""
        own, layout, start = tuple(tensors), [], 0
        for tensor in own:
            layout.append((start, tensor.dtype, tensor.shape))
            start += _rounded(tensor.nbytes)
        flat = torch.empty(start, dtype=torch.uint8)
        for tensor, (at, _, _) in zip(own, layout, strict=True):
            flat[at : at + tensor.nbytes].copy_(tensor.detach().contiguous().view(-1).view(torch.uint8))
        chunks = (flat,) if device.type != "cuda" else tuple(one.pin_memory() for one in chunked(flat))
        return cls(own, tuple(layout), chunks)

    @property
    def nbytes(self) -> int:
        return sum(chunk.nbytes for chunk in self.chunks)

    def copy_to(self, buffer: torch.Tensor) -> None:
        """Copy them into a flat uint8 buffer."""
        start = 0
        for chunk in self.chunks:
            buffer[start : start + len(chunk)].copy_(chunk, non_blocking=True)
            start += len(chunk)

    def bind(self, data: torch.Tensor) -> None:
        """Make the tensors views of `data`, a flat uint8 buffer."""
        for tensor, (start, dtype, shape) in zip(self.tensors, self.layout, strict=True):
            length = shape.numel() * dtype.itemsize
            tensor.data = data[start : start + length].view(dtype).view(shape)

    def release(self, device: torch.device) -> None:
        """Leave the tensors their shape and dtype, but no storage."""
        for tensor, (_, dtype, shape) in zip(self.tensors, self.layout, strict=True):
            tensor.data = torch.zeros((), dtype=dtype, device=device).expand(shape)


def chunked(flat: torch.Tensor) -> Iterator[torch.Tensor]:
    """`flat` in pieces that torch can pin without loss, each a power of two of bytes but the last."""
    start = 0
    while start < len(flat):
        left = len(flat) - start
        length = left if left <= _CHUNK else 1 << (left.bit_length() - 1)
        yield flat[start : start + length]
        start += length


class BlockOffloader:
    """Offloads the last `count` blocks of `root`; add adapters only afterwards, so that they stay on the device.

    A network that is trained must use gradient checkpointing: the backward pass then runs each block's forward again,
    which fetches its weights.
    """

    def __init__(self, root: nn.Module, device: torch.device, count: int) -> None:
        chosen = blocks(root)[-count:] if count else []
        self.root, self.device = root, device
        bytes_each = max((size(block) for _, block in chosen), default=0)
        self._blocks: list[Host] = []
        for _, block in chosen:
            host = Host.of(_frozen(block), device)
            host.release(device)  # at once, so that there is never a second copy of the whole
            self._blocks.append(host)
        self._buffers = [torch.empty(bytes_each, dtype=torch.uint8, device=device) for _ in range(RING)]
        self._resident: list[int | None] = [None] * RING  # which block a buffer holds
        self._copied_at: list[Any] = [None] * RING  # CUDA event recorded after its copy
        self._last_use = [0] * RING  # in ticks of `_time`
        self._copy_stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._next: dict[tuple[int, int], int] = {}  # (block before, block) to the block that followed
        self._trail = (-1, -1)  # the two blocks used last
        self._time = 0
        self.copied = 0  # bytes, so far
        for number, (_, block) in enumerate(chosen):
            block.register_forward_pre_hook(self._hook(number))

    @property
    def ram(self) -> int:
        """Bytes of host memory."""
        return sum(host.nbytes for host in self._blocks)

    def _hook(self, number: int) -> Any:
        def before(module: nn.Module, args: Any) -> None:
            if torch.is_grad_enabled() and not _recomputes(self.root):
                raise UserError(
                    "A base with blocks in RAM cannot be trained without recomputing.",
                    "Switch 'Save memory by recomputing' on.",
                )
            self._use(number)

        return before

    def _use(self, number: int) -> None:
        """Make block `number` resident, and prefetch the one that followed it the last time."""
        before, last = self._trail
        self._next[before, last] = number
        self._trail = (last, number)
        slot = self._fetch(number, keep=None)
        if self._copied_at[slot] is not None:
            torch.cuda.current_stream(self.device).wait_event(self._copied_at[slot])
        following = self._next.get(self._trail)
        if following is not None:
            self._fetch(following, keep=slot)

    def _fetch(self, number: int, keep: int | None) -> int:
        """The buffer with block `number`, filled if need be: the least recently used one, but never `keep`."""
        self._time += 1
        if number in self._resident:
            slot = self._resident.index(number)
        else:
            slot = min((n for n in range(len(self._buffers)) if n != keep), key=self._last_use.__getitem__)
            self._fill(slot, number)
        self._last_use[slot] = self._time
        return slot

    def _fill(self, slot: int, number: int) -> None:
        """Copy a block into a buffer, ordered after all compute that uses the buffer's former block."""
        host, buffer = self._blocks[number], self._buffers[slot]
        evicted = self._resident[slot]
        if evicted is not None:
            self._blocks[evicted].release(self.device)
        if self._copy_stream is None:
            host.copy_to(buffer)
        else:
            self._copy_stream.wait_stream(torch.cuda.current_stream(self.device))
            with torch.cuda.stream(self._copy_stream):
                host.copy_to(buffer)
                self._copied_at[slot] = self._copy_stream.record_event()
        host.bind(buffer)
        self._resident[slot] = number
        self.copied += host.nbytes


def _frozen(block: nn.Module) -> Iterator[torch.Tensor]:
    """The frozen parameters and buffers of a block, each tensor once."""
    seen: set[int] = set()
    for tensor in (*block.parameters(), *block.buffers()):
        if not tensor.requires_grad and tensor.numel() and id(tensor) not in seen:
            seen.add(id(tensor))
            yield tensor


def _recomputes(root: nn.Module) -> bool:
    return any(getattr(module, "gradient_checkpointing", False) for module in root.modules())


def _rounded(length: int) -> int:
    return -(-length // _ALIGNED) * _ALIGNED
