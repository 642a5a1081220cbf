"""The bin: what was deleted stays there until it is emptied: LoRAs with all that belongs to them, drawings, sheets."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lora_gui import drive, files
from lora_gui.errors import UserError, nearest
from lora_gui.formats.header import plain
from lora_gui.studio.library import history, index, notes
from lora_gui.studio.library.beside import beside
from lora_gui.studio.paths import Studio, new_id
from lora_gui.studio.stacks import grid, sheets
from lora_gui.studio.things.loras import lying_in, naming

LORA, DRAWING, SHEET, OTHER = "LoRA", "drawing", "sheet", "other thing"  # kinds
_NOTES = ".notes"  # in the folder of a LoRA; its own files keep their names, and none of theirs begins with a dot
_NOTES_BEFORE = "notes.json"  # in bins of earlier versions; of a LoRA called notes that is a file beside it
_SHOWN = 120  # characters of a prompt
_LYING_IN: dict[str, Callable[[Path], Iterable[Path]]] = {  # what a folder in the bin holds is the first of these
    LORA: lying_in,
    DRAWING: lambda folder: folder.glob("????-??-?? *.png"),
    SHEET: lambda folder: folder.glob("????-??-?? *-grid"),
    OTHER: lambda folder: folder.glob("*"),
}
KINDS = (LORA, DRAWING, SHEET)  # that can be put back


@dataclass(frozen=True)
class Binned:
    """One thing in the bin, in a folder of its own."""

    folder: Path
    path: Path
    size: int  # bytes of all there is of it
    kind: str = LORA
    prompt: str = ""  # of a drawing or a sheet

    @property
    def name(self) -> str:
        """As it can be shown."""
        return plain(self.prompt, _SHOWN) or plain(self.path.stem)


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


def everything(studio: Studio) -> list[Binned]:
    """All that is in the bin, the latest first; the prompts of drawings and sheets are read once."""
    there = _held(studio)
    states = {one.folder.name: f"{one.path.name} {one.size}" for one in there if one.kind in _PROMPTS}
    drawn = {one.folder.name: one for one in there}
    told, _ = index.told_of(studio, "bin", states, lambda name: {"prompt": _prompt(drawn[name])})
    return [replace(one, prompt=told.get(one.folder.name, {}).get("prompt", "")) for one in there]


def binned(studio: Studio) -> list[Binned]:
    """Every LoRA in the bin, the latest first."""
    return [one for one in _held(studio) if one.kind == LORA]


def find(studio: Studio, name: str, kinds: Sequence[str] = (LORA,)) -> Binned:
    """The latest in the bin that was called `name`, or whose folder is. Raises UserError where there is none."""
    there = [one for one in _held(studio) if one.kind in kinds]
    wanted = name.removesuffix(".safetensors")
    for one in there:
        if wanted in (one.path.stem, one.path.name, one.folder.name):
            return one
    hint = nearest(wanted, [one.path.stem for one in there]) if there else "Nothing of the kind is in it."
    raise UserError(f"There is no {name!r} in the bin.", hint)


def restore(studio: Studio, one: Binned) -> Path:
    """Put it back where it was, a LoRA or a drawing under another name where its own is taken; its path.

    Raises UserError where it is not there any more, or the disk refuses.
    """
    if one.kind in _RESTORED:
        return studio.drawings / _RESTORED[one.kind](studio, one.folder.name)
    if not os.path.lexists(one.path):
        raise UserError(f"{one.name} is not in the bin any more.", "Look into the bin again.")
    parts = {path: path.name.removeprefix(one.path.stem) for path in (*beside(one.path), one.path)}  # the LoRA last
    with naming(studio):
        stem = drive.free_stem(studio.loras, one.path.stem, [*parts.values()])
        kept = (one.folder / _NOTES, one.folder / _NOTES_BEFORE)
        if noted := next((path for path in kept if path.is_file() and path not in parts), None):
            files.move(noted, notes.place(studio, stem))
        for path, ending in parts.items():
            files.move(path, studio.loras / f"{stem}{ending}")
    drive.drop_empty(one.folder)
    return studio.loras / f"{stem}{one.path.suffix}"


def empty(studio: Studio) -> int:
    """Delete all that is in the bin for good; how many bytes that freed."""
    freed = size(studio)
    for folder in _folders(studio):
        files.remove_folder(folder)
    return freed


def size(studio: Studio) -> int:
    """Bytes that emptying it frees."""
    return sum(map(_size, _folders(studio)))


def _folders(studio: Studio) -> list[Path]:
    """The latest first."""
    there = sorted(studio.bin.iterdir(), reverse=True) if studio.bin.is_dir() else []
    return [path for path in there if path.is_dir()]


def _held(studio: Studio) -> list[Binned]:
    found = []
    for folder in _folders(studio):
        first = next(((kind, path) for kind, lying in _LYING_IN.items() for path in lying(folder)), None)
        if first:
            kind, path = first
            found.append(Binned(folder, path, _size(folder), kind))
    return found


def _prompt(one: Binned) -> str:
    return _PROMPTS[one.kind](one.path)[:_SHOWN]


def _of_sheet(folder: Path) -> str:
    told = files.read_json(folder / grid.RECORD, sheets.LIMIT)
    return str(told.get("prompt", "")) if isinstance(told, dict) else ""


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() or path.is_symlink())


_RESTORED = {DRAWING: history.restore, SHEET: sheets.restore}
_PROMPTS: dict[str, Callable[[Path], str]] = {DRAWING: history.prompt_of, SHEET: _of_sheet}
