"""Where a captioner has room: on the card, or in the memory of the processor in 32 or 16 bits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from lora_gui.engine.load import device
from lora_gui.errors import UserError
from lora_gui.formats import base_files
from lora_gui.formats.captioners import Captioner
from lora_gui.formats.header import entries

_BESIDE = 1.25  # what is needed in all, for each byte of weights: activations, and the keys and values kept
_LARGE = {"qwen": "bf16"}  # whose activations do not stay within fp16's range
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Room:
    """Where it computes and in which dtype; `note` says what is not as one would expect."""

    device: torch.device
    dtype: torch.dtype
    note: str = ""


def room(found: Captioner, on_processor: bool) -> Room:
    """The first place that has room for it. Raises UserError where none has."""
    if found.kind == "tagger":  # onnxruntime sees to its own
        return Room(_CPU if on_processor else device.pick(), torch.float32)
    count, free = _parameters(found), 0.0
    for at, one in enumerate(_places(found.kind, on_processor)):
        free = device.free(one.device)
        if count * one.dtype.itemsize * _BESIDE <= free:
            return one if at else Room(one.device, one.dtype)
    needed = count * 2 * _BESIDE
    what = f"{found.title} needs about {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free."
    raise UserError(what, "Close other programs, or choose a smaller captioner.", "memory")


def _places(kind: str, on_processor: bool) -> Iterator[Room]:
    """The best first; each says what it is instead of the best."""
    fastest = _CPU if on_processor else device.pick()
    if fastest.type != "cpu":
        dtype = device.drawing_dtype(fastest, _LARGE.get(kind, "fp16"), device.capability(fastest))
        yield Room(fastest, dtype)
        yield Room(_CPU, torch.float32, "The card has no room for it, so the processor does it, which takes longer.")
    else:
        yield Room(_CPU, torch.float32)
    yield Room(_CPU, torch.bfloat16, "There is little memory, so it is held in 16 bits, which takes longer.")


def _parameters(found: Captioner) -> int:
    weights = base_files.weights(found.path)
    count = 0
    for path in weights.files if weights else ():
        with open(path, "rb") as file:
            tensors, _, _ = entries(file, path.name, path.stat().st_size)
        count += sum(math.prod(shape) for _, shape, _, _ in tensors.values())
    return count
