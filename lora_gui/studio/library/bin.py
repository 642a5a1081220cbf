"""The bin: LoRAs that were deleted, each with all that lay beside it and what was noted, until it is emptied."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lora_gui import files
from lora_gui.errors import UserError, nearest
from lora_gui.formats.header import plain
from lora_gui.studio.library import notes
from lora_gui.studio.library.beside import beside
from lora_gui.studio.paths import Studio, new_id
from lora_gui.studio.things.loras import lying_in

_NOTES = "notes.json"  # in the folder of a LoRA; its own files keep their names


@dataclass(frozen=True)
class Binned:
    """A LoRA in the bin."""

    folder: Path
    path: Path
    size: int  # bytes of all there is of it

    @property
    def name(self) -> str:
        """As it can be shown."""
        return plain(self.path.stem)


def delete(studio: Studio, path: Path) -> Binned:
    """Put a LoRA of the studio into the bin, with what lies beside it. Raises UserError where the disk refuses."""
    if path.parent.resolve() != studio.loras.resolve():
        raise UserError(f"{path.name} is not among your LoRAs.", "Delete it where it lies.")
    folder = studio.bin / new_id(studio.bin)
    for one in (*beside(path), path):  # the file itself last: what was begun shows as a LoRA until then
        files.move(one, folder / one.name)
    noted = notes.place(studio, path.stem)
    if noted.is_file():
        files.move(noted, folder / _NOTES)
    return Binned(folder, folder / path.name, _size(folder))


def binned(studio: Studio) -> list[Binned]:
    """Every LoRA in the bin, the latest first."""
    folders = sorted(studio.bin.iterdir(), reverse=True) if studio.bin.is_dir() else []
    found = ((folder, next(iter(lying_in(folder)), None)) for folder in folders if folder.is_dir())
    return [Binned(folder, path, _size(folder)) for folder, path in found if path]


def find(studio: Studio, name: str) -> Binned:
    """The latest in the bin that was called `name`, or whose folder is. Raises UserError where there is none."""
    there = binned(studio)
    wanted = name.removesuffix(".safetensors")
    for one in there:
        if wanted in (one.path.stem, one.path.name, one.folder.name):
            return one
    hint = nearest(wanted, [one.path.stem for one in there]) if there else "It is empty."
    raise UserError(f"There is no {name!r} in the bin.", hint)


def restore(studio: Studio, one: Binned) -> Path:
    """Put a LoRA back among the others, under another name where its own is taken; its path.

    Raises UserError where it is not there any more, or the disk refuses.
    """
    if not os.path.lexists(one.path):
        raise UserError(f"{one.name} is not in the bin any more.", "Look into the bin again.")
    target = files.free_name(studio.loras, one.path.stem, one.path.suffix)
    for other in beside(one.path):
        files.move(other, studio.loras / (target.stem + other.name.removeprefix(one.path.stem)))
    if (noted := one.folder / _NOTES).is_file():
        files.move(noted, notes.place(studio, target.stem))
    files.move(one.path, target)
    with contextlib.suppress(OSError):
        one.folder.rmdir()
    return target


def empty(studio: Studio) -> int:
    """Delete all that is in the bin for good; how many bytes that freed."""
    freed = sum(_size(folder) for folder in _folders(studio))
    for folder in _folders(studio):
        files.remove_folder(folder)
    return freed


def size(studio: Studio) -> int:
    """Bytes that emptying it frees."""
    return sum(_size(folder) for folder in _folders(studio))


def _folders(studio: Studio) -> Iterator[Path]:
    yield from [path for path in studio.bin.iterdir() if path.is_dir()] if studio.bin.is_dir() else ()


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() or path.is_symlink())
