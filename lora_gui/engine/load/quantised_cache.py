"""Keep quantised networks on disk for the next start: whole or not at all, one process at a time, bounded in size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import safetensors.torch
import torch

from lora_gui import files
from lora_gui.engine.load.tensor_files import read_tensors
from lora_gui.errors import UserError
from lora_gui.formats.cache_names import INDEX
from lora_gui.protocol.lock import Lock

LIMIT = 40_000_000_000  # bytes of all that is kept; the largest known base takes 12 GB in int8
_SHARD = 1 << 26  # bytes of a file; as much memory again is needed while one is written


@contextmanager
def locked(kept: Path) -> Iterator[None]:
    """Around everything that reads, fills or clears the cache folder: only one process does so at a time."""
    files.make_folder(kept)
    with Lock(kept / ".lock"):
        files.sweep(kept, alone=True)
        yield


def read(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a kept network. Raises UserError where a file of it is missing or damaged."""
    names = files.read_json(folder / INDEX)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{folder.name} is damaged.", "Delete it.")
    for name in names:
        yield from read_tensors(folder / Path(name).name)
    (folder / INDEX).touch()  # used just now


class Writer:
    """Keeps the tensors it is given in files of a bounded size; the folder has its name once `close` was called.

    Raises UserError where the disk is full; what was half made is gone then.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._new = folder, files.half_made(folder)
        self._names: list[str] = []
        self._waiting: dict[str, torch.Tensor] = {}

    def add(self, name: str, tensor: torch.Tensor) -> None:
        """Keep one more tensor."""
        self._waiting[name] = tensor
        if sum(one.nbytes for one in self._waiting.values()) >= _SHARD:
            self._flush()

    def close(self) -> None:
        """Write what waits and give the folder its name."""
        self._flush()
        files.write_json(self._new / INDEX, self._names)
        files.move(self._new, self._folder)

    def _flush(self) -> None:
        name = f"part-{len(self._names):04}.safetensors"
        data = safetensors.torch.save({key: value.cpu().contiguous() for key, value in self._waiting.items()})
        try:
            files.write_bytes(self._new / name, data)
        except UserError:
            files.remove_folder(self._new)
            raise
        self._names.append(name)
        self._waiting = {}


def evict(kept: Path, in_use: Path, limit: int = LIMIT) -> None:
    """Delete the networks that have not been used for longest until all take at most `limit` bytes; never `in_use`."""
    sizes = {one: sum(file.stat().st_size for file in one.iterdir()) for one in kept.iterdir() if one.is_dir()}
    oldest_first = sorted(sizes, key=_last_used)
    for one in oldest_first:
        if one != in_use and sum(sizes.values()) > limit:
            files.remove_folder(one)
            del sizes[one]


def _last_used(folder: Path) -> float:
    index = folder / INDEX
    return index.stat().st_mtime if index.is_file() else 0.0  # without its index it does not count
