"""Identify a single-file checkpoint by the names and shapes in its header; no tensor is loaded."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lora_gui.errors import UserError
from lora_gui.formats import parts_alone
from lora_gui.formats.header import ANOTHER_COPY, entries

if TYPE_CHECKING:
    from lora_gui.facts import SingleFile

WHOLE = "Get the whole checkpoint as one .safetensors file, or the base as a diffusers folder."


@dataclass(frozen=True)
class Contents:
    """The shapes of the tensors in a file, and the dtype of most of its values."""

    shapes: dict[str, tuple[int, ...]]
    dtype: str

    @property
    def values(self) -> int:
        """The number of values in all tensors."""
        return sum(math.prod(shape) for shape in self.shapes.values())


def read(path: Path) -> Contents:
    """What is in a .safetensors file. Raises UserError where it is damaged or cut short, or of a format that can carry
    programs."""
    try:
        with open(path, "rb") as file:
            found, _, start = entries(file, path.name, path.stat().st_size)
    except OSError as error:
        raise UserError(f"{path.name} could not be read ({error.strerror}).", "Check the disk and try again.") from None
    shapes, bytes_of = {}, dict.fromkeys(("F32", "F16", "BF16"), 0)
    for name, (dtype, shape, begin, end) in found.items():
        counted = all(type(n) is int and n >= 0 for n in (*shape, begin, end))
        if not counted or not isinstance(dtype, str) or math.prod(shape) > end - begin:  # a byte each at least
            raise UserError(f"The header of {path.name} is damaged.", ANOTHER_COPY)
        if start + end > path.stat().st_size:
            raise UserError(f"{path.name} is cut short.", ANOTHER_COPY)
        shapes[name] = shape
        if dtype in bytes_of:
            bytes_of[dtype] += end - begin
    return Contents(shapes, max(bytes_of, key=lambda dtype: bytes_of[dtype]))


def build_of(path: Path, contents: Contents, known: Iterable[SingleFile]) -> SingleFile:
    """The build of a base. Raises UserError where it is none of those `known`, or where a part of it is missing."""
    parts_alone.refuse(path.name, contents.shapes)
    for one in known:
        if all(contents.shapes.get(name, ())[1:2] == (count,) for name, count in one.inputs.items()):
            break
    else:
        what = f"{path.name} is of a build that is not read from a single file."
        raise UserError(what, "Use the base as a whole diffusers folder.")
    for part, beginning in one.parts.items():
        if not any(name.startswith(beginning) for name in contents.shapes):
            raise UserError(f"The base {path.name} is not whole: its {part} is missing.", WHOLE)
    return one
