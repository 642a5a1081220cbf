"""The processes that train one LoRA together: what they agree on, average and share out. One alone does none of it.

No wrapper around the network: all gradients lie in one flat buffer, so one all-reduce a step averages them. Every rank
draws the random numbers of the whole batch and takes its rows, so that N processes learn as one with N times the batch.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import torch
import torch.distributed as dist
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes

from lora_gui.engine.load import device
from lora_gui.errors import UserError
from lora_gui.families.base import Tensors
from lora_gui.families.shared.noising import SharedGenerator
from lora_gui.protocol.whereabouts import Launched
from lora_gui.settings import TrainSettings

_COMES = timedelta(minutes=30)  # that each rank has to come up in
_WAITS = timedelta(days=30)  # for what the leading one does meanwhile: encoding, loading, drawing, or a lease
_FAILED = "failed"  # key of the store: what went wrong in a rank that says nothing by itself


class Ranks:
    """One process alone."""

    rank, count = 0, 1

    @property
    def leads(self) -> bool:
        """Whether this is the one that says and writes everything."""
        return self.rank == 0

    def generator(self, where: torch.device) -> torch.Generator:
        """What gives each rank its own rows of the random numbers that all of them draw."""
        return torch.Generator(where)

    def rows(self, batch: int) -> slice:
        """Which of the pictures of a whole batch are this rank's; `batch` is a multiple of `count`."""
        own = batch // self.count
        return slice(self.rank * own, (self.rank + 1) * own)

    def told(self, number: int) -> int:
        """The number that the leading rank has here."""
        return number

    def average(self, buffer: torch.Tensor) -> None:
        """Make a buffer on the device the mean of those of all ranks."""

    def same(self, buffer: torch.Tensor) -> None:
        """Make a buffer on the device that of the leading rank."""

    def exchanged(self, made: Tensors) -> Tensors:
        """What all ranks have made, in host memory as what each gives; their keys differ."""
        return made

    @contextmanager
    def leading_first(self) -> Iterator[None]:
        """Let the others do something once the leading rank has done it, such as reading what that one wrote."""
        yield

    def note(self, settings: TrainSettings) -> str:
        """A sentence on how many learn; empty for one alone."""
        if self.count == 1:
            return ""
        pictures = _pictures(settings, self.count)
        return f"{self.count} processes train together: each step learns from {pictures} pictures."

    def changed(self, before: int, settings: TrainSettings) -> str:
        """A sentence where a run goes on that `before` processes had begun, and they are not as many now."""
        if before == self.count:
            return ""
        then, now = (_pictures(settings, count) for count in (before, self.count))
        what = f"This run had {before} processes and goes on with {self.count}: each step learns from {now} pictures"
        return f"{what} instead of {then}, in another order. Steps and learning rate stay as they were."

    def failure(self) -> str:
        """The event in which another rank told that it failed, as a line; empty where none did."""
        return ""

    def tell_failure(self, line: str) -> None:
        """Let the leading rank say what went wrong here."""


ALONE = Ranks()


class Together(Ranks):
    """One of several processes, each with a card of its own, or all on the processor."""

    def __init__(self, launched: Launched) -> None:
        self.rank, self.count = launched.rank, launched.count
        self._device, backend = _own_device(launched)
        url = "env://?use_libuv=0" if sys.platform == "win32" else "env://"  # torch comes without it there
        with _reported():
            self._store, _, _ = next(dist.rendezvous(url, timeout=_COMES))
            dist.init_process_group(backend, store=self._store, rank=self.rank, world_size=self.count, timeout=_WAITS)
            self._host = dist.group.WORLD if backend == "gloo" else dist.new_group(backend="gloo", timeout=_WAITS)
        self._watched = self._store.clone()  # a second connection, for another thread

    def generator(self, where: torch.device) -> torch.Generator:
        made = SharedGenerator(where)
        made.rank, made.count = self.rank, self.count
        return made

    def told(self, number: int) -> int:
        said = torch.tensor([number])
        self._from(0, said)
        return int(said)

    def average(self, buffer: torch.Tensor) -> None:
        with _reported():
            dist.all_reduce(buffer)
        buffer.mul_(1 / self.count)

    def same(self, buffer: torch.Tensor) -> None:
        with _reported():
            dist.broadcast(buffer, 0)

    def exchanged(self, made: Tensors) -> Tensors:
        every: Tensors = {}
        for rank in range(self.count):
            own = to_bytes({key: value.contiguous() for key, value in made.items()}) if rank == self.rank else b""
            size = torch.tensor([len(own)])
            self._from(rank, size)
            data = torch.frombuffer(bytearray(own), dtype=torch.uint8) if own else torch.empty(int(size)).byte()
            self._from(rank, data)
            every |= made if rank == self.rank else from_bytes(data.numpy().tobytes())
        return every

    @contextmanager
    def leading_first(self) -> Iterator[None]:
        if not self.leads:
            self.told(0)
        yield
        if self.leads:
            self.told(0)

    def failure(self) -> str:
        try:
            return self._watched.get(_FAILED).decode("utf-8") if self._watched.check([_FAILED]) else ""
        except RuntimeError:  # the store is gone, and with it the launcher
            return ""

    def tell_failure(self, line: str) -> None:
        with suppress(RuntimeError):  # as above
            self._store.set(_FAILED, line)

    def _from(self, rank: int, value: torch.Tensor) -> None:
        """A tensor in host memory, made that of one rank."""
        with _reported():
            dist.broadcast(value, rank, group=self._host)


def join(launched: Launched) -> Ranks:
    """Wait until all processes of this training are there. Raises UserError where they cannot work together."""
    return Together(launched) if launched.count > 1 else ALONE


def _own_device(launched: Launched) -> tuple[torch.device, str]:
    """The device of this rank, made the current one, and the backend that averages on it."""
    where = device.pick()
    if where.type == "mps":
        raise UserError("The card of a Mac trains with one process alone.", "Start one, without --processes.")
    if where.type != "cuda":
        return where, "gloo"
    cards = torch.cuda.device_count()
    if launched.local_count > cards:
        what = f"{launched.local_count} processes were started, and this computer has {cards} graphics cards."
        raise UserError(what, f"Start {cards}, one for each card.")
    torch.cuda.set_device(launched.local_rank)
    return where, "nccl" if dist.is_nccl_available() else "gloo"  # Windows has no NCCL


def _pictures(settings: TrainSettings, count: int) -> int:
    return settings.batch_size * settings.accumulation * count


@contextmanager
def _reported() -> Iterator[None]:
    """What torch raises where another rank is gone, in plain words."""
    try:
        yield
    except RuntimeError as error:
        what = "Another process of this training has ended, or cannot be reached."
        raise UserError(what, "Look into the log of that one, then resume the run.") from error
