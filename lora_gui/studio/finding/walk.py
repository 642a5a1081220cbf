"""Walk a folder of models: its .safetensors files and its folders of whole bases, each once, never in a circle."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lora_gui.formats import base_files
from lora_gui.studio.things import base_places
from lora_gui.studio.things.base_folder import INDEX

DEPTH = 8  # folders below the one that is walked
MOST = 20_000  # files and folders of one place
OLD = {".ckpt", ".pt", ".pth", ".bin", ".gguf"}  # files of models that are not read here
_SMALL = 1_000_000  # bytes; smaller ones of those are no models


@dataclass
class Seen:
    """What was met already, by its number on its drive, so that links and nested places count once."""

    things: set[tuple[int, int]] = field(default_factory=set)
    old: int = 0  # files in formats that are not read here

    def anew(self, stat: os.stat_result) -> bool:
        """Whether this was not met before; drives that number nothing say 0, and are never the same."""
        mark = stat.st_dev, stat.st_ino
        if not stat.st_ino:
            return True
        if mark in self.things:
            return False
        self.things.add(mark)
        return True


def models(folder: Path, seen: Seen, apart: Path) -> Iterator[Path]:
    """Files and folders that may be bases, links followed as long as they lead to what was not met yet.

    `apart` is never gone into. What cannot be read is passed over.
    """
    left = MOST
    waiting = [(folder, 0)]
    while waiting and left > 0:
        path, depth = waiting.pop()
        left -= 1
        if path == apart or (found := _folder(path, seen)) is None:
            continue
        if os.path.lexists(path / INDEX):
            yield path
            continue
        if (path / "snapshots").is_dir():  # of the hub's cache
            held = base_places.snapshot(path)
            if held != path:
                waiting.append((held, depth + 1))
            continue
        for entry in found:
            left -= 1
            if entry.is_dir():
                waiting += [(Path(entry.path), depth + 1)] if depth < DEPTH else []
            elif is_new_file(entry, seen):
                yield Path(entry.path)


def is_new_file(entry: "os.DirEntry[str]", seen: Seen) -> bool:
    """Whether it is a .safetensors file that was not met yet; old ones are counted."""
    suffix = os.path.splitext(entry.name)[1].lower()
    try:
        if suffix in base_files.CHECKPOINTS:
            return entry.is_file() and seen.anew(entry.stat())
        seen.old += suffix in OLD and entry.stat().st_size >= _SMALL and seen.anew(entry.stat())
    except OSError:  # a link to nothing, or gone a moment ago
        pass
    return False


def _folder(path: Path, seen: Seen) -> "list[os.DirEntry[str]] | None":
    """What is in a folder, sorted; None where it was met before or cannot be read."""
    try:
        if not seen.anew(os.stat(path)):
            return None
        with os.scandir(path) as found:
            return sorted((one for one in found if not one.name.startswith(".")), key=lambda one: one.name)
    except OSError:
        return None
