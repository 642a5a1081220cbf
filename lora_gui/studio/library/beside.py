"""What lies beside a LoRA file under its name: covers and texts that programs put there, which go where it goes."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from lora_gui.drive import LONGEST_NAME

PICTURES = (".preview.png", ".preview.jpg", ".preview.jpeg", ".preview.webp", ".png", ".jpg", ".jpeg", ".webp")
_OTHERS = (".json", ".txt", ".civitai.info", ".cm-info.json", ".metadata.json", ".yaml")


def beside(path: Path) -> list[Path]:
    """The files that belong to the LoRA at `path`, without itself; a link counts wherever it leads."""
    return [one for one in _named(path, (*PICTURES, *_OTHERS)) if one.is_file() or one.is_symlink()]


def picture(path: Path) -> Path | None:
    """The cover beside the LoRA at `path`; None where there is none."""
    return next((one for one in _named(path, PICTURES) if one.is_file()), None)


def _named(path: Path, endings: Iterable[str]) -> list[Path]:
    """Those that a disk takes: a long name has no room for a longer ending, and asking for one may be an error."""
    names = (path.stem + ending for ending in endings)
    return [path.with_name(name) for name in names if len(os.fsencode(name)) <= LONGEST_NAME]
