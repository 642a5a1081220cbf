"""Work recorded once and replayed as one CUDA graph, where the host would launch thousands of kernels anew each step.

What is recorded reads and writes where it did when it was recorded, so what it is given is copied into buffers that
stay. Its shapes, and whatever the host decides by, are part of its key: each key is recorded apart, in one shared pool
of memory, once it has come often enough. See "CUDA Graphs" in torch's notes on CUDA for the rules that this keeps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch.utils._pytree import tree_flatten, tree_unflatten

from lora_gui.protocol.events import Note
from lora_gui.settings import TrainSettings

RARE = 6  # times that a key must come before it is recorded; torch wants three, to have made what it makes once
_MOST = 16  # recordings; each costs some megabytes of the card
_ROOM = 2  # times what a step holds at its peak that must be free: for the recordings, and for what is not recorded

Result = TypeVar("Result")  # a tensor, or None


class Recorder(Protocol):
    """A device that can be told to do what it did once, without the host."""

    def run(self, work: Callable[[], Result]) -> Result:
        """Do the work, where it is to be recorded later on."""

    def record(self, work: Callable[[], Result]) -> tuple[Callable[[], None], Result]:
        """What does the work again, and its result, overwritten each time. Nothing is done meanwhile.

        Raises RuntimeError where the device cannot, with nothing changed.
        """

    def has_room(self) -> bool:
        """Whether there is memory for recordings beside what is done without them."""

    def forget(self) -> None:
        """Give up the memory of all recordings."""


@dataclass
class _Recording:
    given: list[torch.Tensor]  # what the work reads
    replay: Callable[[], None]
    result: Any


class Graphs:
    """Work that is recorded where there is a recorder and the work comes often; done as it is otherwise."""

    def __init__(self, device: torch.device, recorder: Recorder | None = None, told: str = "") -> None:
        """`told` is a sentence for the user, where there could have been a recorder."""
        self._device, self._recorder = device, recorder
        self._uses = Counter[Hashable]()
        self._recordings: dict[Hashable, _Recording] = {}
        self._told = [told] if told else []

    @property
    def on(self) -> bool:
        """Whether work may be recorded, so that what it writes must stay where it is."""
        return self._recorder is not None

    def play(self, work: Callable[..., Result], *given: Any) -> Result:
        """Do `work` with what it is `given`: tensors on the device, and what the host decides by, nested as one likes.

        The result is a single tensor of the caller's own, or None.
        """
        if self._recorder is None:
            return work(*given)
        leaves, form = tree_flatten(given)
        key = (work, form, tuple(map(self._key, leaves)))
        self._uses[key] += 1
        if key not in self._recordings and not self._due(key, leaves):
            return self._recorder.run(lambda: work(*given))
        new = [leaf for leaf in leaves if self._moves(leaf)]
        try:
            found = self._recordings.get(key) or self._record(key, work, leaves, form)
        except RuntimeError as error:  # whatever the driver, a kernel or a library objects to
            return self._give_up(work, given, f"{error}")
        if new:
            torch._foreach_copy_(found.given, new)
        found.replay()
        own: Any = None if found.result is None else found.result.clone()
        result: Result = own
        return result

    def forget(self) -> None:
        """Give the memory back, for other work; what comes again is recorded again."""
        self._recordings.clear()
        if self._recorder is not None:
            self._recorder.forget()

    def notes(self) -> Iterator[Note]:
        """What was not said yet."""
        yield from map(Note, self._told)
        self._told.clear()

    def _moves(self, leaf: Any) -> bool:
        """Whether it is a tensor on the device. All else is the host's, single numbers on a processor too."""
        if not isinstance(leaf, torch.Tensor) or leaf.device.type != self._device.type:
            return False
        return leaf.ndim > 0 or self._device.type != "cpu"

    def _key(self, leaf: Any) -> Hashable:
        """A leaf as far as a recording depends on it."""
        if self._moves(leaf):
            return leaf.shape, leaf.stride(), leaf.dtype
        return (leaf.shape, *leaf.flatten().tolist()) if isinstance(leaf, torch.Tensor) else leaf

    def _due(self, key: Hashable, leaves: list[Any]) -> bool:
        """Whether work is to be recorded now. What hangs together with a graph of gradients outside cannot be."""
        if self._uses[key] <= RARE or len(self._recordings) >= _MOST:
            return False
        return not any(isinstance(leaf, torch.Tensor) and leaf.requires_grad for leaf in leaves)

    def _record(self, key: Hashable, work: Callable[..., Result], leaves: list[Any], form: Any) -> _Recording:
        assert self._recorder is not None
        if not self._recordings and not self._recorder.has_room():
            raise RuntimeError("there is too little memory on the card beside the training itself")
        kept = [leaf.clone() if self._moves(leaf) else leaf for leaf in leaves]
        replay, result = self._recorder.record(lambda: work(*tree_unflatten(kept, form)))
        self._recordings[key] = _Recording([leaf for leaf in kept if self._moves(leaf)], replay, result)
        return self._recordings[key]

    def _give_up(self, work: Callable[..., Result], given: tuple[Any, ...], why: str) -> Result:
        """Go on without recordings."""
        self.forget()
        self._recorder = None
        reason = why.strip().partition("\n")[0].rstrip(".")
        self._told.append(f"Steps could not be recorded, so each is told to the card anew, as on others: {reason}.")
        return work(*given)


class CudaGraphs:
    """The recorder of a CUDA card. All work runs on one stream beside torch's own, as capturing wants it."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._stream = device, torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()

    def run(self, work: Callable[[], Result]) -> Result:
        own = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(own)
        with torch.cuda.stream(self._stream):
            result = work()
        own.wait_stream(self._stream)
        return result

    def record(self, work: Callable[[], Result]) -> tuple[Callable[[], None], Result]:
        graph = torch.cuda.CUDAGraph()
        mode = "thread_local"  # a checkpoint may be copied in another thread meanwhile
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode=mode):
            result = work()
        return graph.replay, result

    def has_room(self) -> bool:
        held = torch.cuda.memory_allocated(self._device)
        at_its_peak = torch.cuda.max_memory_allocated(self._device) - held
        torch.cuda.empty_cache()
        free, _ = torch.cuda.mem_get_info(self._device)
        return free >= _ROOM * at_its_peak

    def forget(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()  # one whose recordings have all gone is not taken again
        with suppress(RuntimeError):  # of a capture that failed
            torch.cuda.empty_cache()


def records(settings: TrainSettings) -> bool:
    """Whether a card records such steps, so that gradients keep their memory from one to the next. The recordings' own
    pool is in no plan: there are none where that is not free beside it, and it is given back before samples are drawn.
    """
    in_ram = settings.streamed_blocks or settings.gradient_checkpointing == "blocks_in_ram"
    return settings.record_steps and not in_ram


def of(settings: TrainSettings, device: torch.device) -> Graphs:
    """What the steps of a training are done by."""
    if device.type != "cuda" or not settings.record_steps:
        return Graphs(device)
    if not records(settings):
        what = "Blocks wait" if settings.streamed_blocks else "What blocks keep waits"
        return Graphs(device, told=f"{what} in the computer's own memory, so steps cannot be recorded on the card.")
    return Graphs(device, CudaGraphs(device))

