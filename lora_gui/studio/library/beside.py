"""What lies beside a LoRA file under its name: covers and texts that programs put there, which go where it goes."""

from __future__ import annotations

from pathlib import Path

PICTURES = (".preview.png", ".preview.jpg", ".preview.jpeg", ".preview.webp", ".png", ".jpg", ".jpeg", ".webp")
_OTHERS = (".json", ".txt", ".civitai.info", ".cm-info.json", ".metadata.json", ".yaml")


def beside(path: Path) -> list[Path]:
    """The files that belong to the LoRA at `path`, without itself."""
    return [one for one in map(path.with_name, _names(path)) if one.is_file()]


def picture(path: Path) -> Path | None:
    """The cover beside the LoRA at `path`; None where there is none."""
    named = (path.with_name(path.stem + suffix) for suffix in PICTURES)
    return next((one for one in named if one.is_file()), None)


def _names(path: Path) -> list[str]:
    """Those that a disk takes: a long name has no room for a longer ending."""
    return [name for end in (*PICTURES, *_OTHERS) if len(name := path.stem + end) <= 255]
