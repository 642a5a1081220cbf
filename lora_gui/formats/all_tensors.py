"""All tensors of a .safetensors file, wherever it lies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def is_text(path: Path) -> bool:
    """Whether all of a path is text; libraries written in Rust open no other."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def read(path: Path) -> dict[str, torch.Tensor]:
    """By their names. Raises OSError or SafetensorError."""
    from safetensors import torch as tensors  # here: names alone are told without torch

    return tensors.load_file(path) if is_text(path) else tensors.load(path.read_bytes())
