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
    there = [one for one in _named(path, (*PICTURES, *_OTHERS)) if one.is_file() or one.is_symlink()]
    # Many drives know no capitals, and have one file by both of its names.
    return list({(one.name.casefold(), one.lstat().st_ino): one for one in reversed(there)}.values())[::-1]


def picture(path: Path) -> Path | None:
    """The cover beside the LoRA at `path`; None where there is none."""
    return next((one for one in _named(path, PICTURES) if one.is_file()), None)


def _named(path: Path, endings: Iterable[str]) -> list[Path]:
    """Those that a disk takes: a long name has no room for a longer ending, and asking for one may be an error."""
    names = (path.stem + one for ending in endings for one in (ending, _loud(ending)))
    return [path.with_name(name) for name in names if len(os.fsencode(name)) <= LONGEST_NAME]


def _loud(ending: str) -> str:
    """As cameras and older programs write it, such as .preview.PNG."""
    head, dot, suffix = ending.rpartition(".")
    return head + dot + suffix.upper()
