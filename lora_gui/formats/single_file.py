"""Identify a single-file checkpoint by the names and shapes in its header; no tensor is loaded."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lora_gui.errors import UserError
from lora_gui.formats import parts_alone
from lora_gui.formats.header import ANOTHER_COPY, entries

if TYPE_CHECKING:
    from lora_gui.facts import PartFile, SingleFile

_CAST = {"F8_E4M3": "BF16", "F8_E5M2": "BF16"}  # dtypes that are cast where they are read
WHOLE = "Get the whole checkpoint as one .safetensors file, or the base as a diffusers folder."


@dataclass(frozen=True)
class Contents:
    """The shapes of the tensors in a file, and the dtype of most of its values, fp8 counted as what it is cast to.

    `prediction` is what its header says that it predicts, as Stability AI's ModelSpec has it: `v`, `epsilon`.
    """

    shapes: dict[str, tuple[int, ...]]
    dtype: str
    has_fp8: bool = False
    prediction: str = ""

    @property
    def values(self) -> int:
        """The number of values in all tensors."""
        return sum(math.prod(shape) for shape in self.shapes.values())


def read(path: Path) -> Contents:
    """What is in a .safetensors file. Raises UserError where it is damaged or cut short, or of a format that can carry
    programs."""
    try:
        with open(path, "rb") as file:
            found, metadata, start = entries(file, path.name, path.stat().st_size)
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
        if (cast := _CAST.get(dtype, dtype)) in bytes_of:
            bytes_of[cast] += end - begin
    has_fp8 = any(dtype in _CAST for dtype, *_ in found.values())
    prediction = str(metadata.get("modelspec.prediction_type", ""))[:40]
    return Contents(shapes, max(bytes_of, key=lambda dtype: bytes_of[dtype]), has_fp8, prediction)


def of(path: Path) -> Contents:
    """As `read`, once for each state of the few files that were asked for last."""
    try:
        stat = path.stat()
    except OSError as error:
        raise UserError(f"{path.name} could not be read ({error.strerror}).", "Check the disk and try again.") from None
    return _of(path, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=8)
def _of(path: Path, size: int, time: int) -> Contents:
    return read(path)


def build_of(path: Path, contents: Contents, known: Iterable[SingleFile]) -> SingleFile:
    """The build of a base. Raises UserError where it is none of those `known`, or where a part of it is missing that
    has to be in the same file."""
    build = next((one for one in known if beginning(contents, one) is not None), None)
    parts_alone.refuse(path.name, contents.shapes, build is not None)
    if build is None:
        what = f"{path.name} is of a build that is not read from a single file."
        raise UserError(what, "Use the base as a whole diffusers folder.")
    for part, begins in build.parts.items():
        if not any(name.startswith(begins) for name in contents.shapes):
            raise UserError(f"The base {path.name} is not whole: its {part} is missing.", WHOLE)
    return build


def beginning(contents: Contents, build: SingleFile) -> str | None:
    """How the names of the denoiser's tensors begin; None where the file is not of this build."""
    shapes = contents.shapes
    for start in build.beginnings:
        alike = all(shapes.get(start + name, ())[1:2] == (count,) for name, count in build.inputs.items())
        if alike and not any(start + name in shapes for name in build.without):
            return start
    return None


def holds(contents: Contents, part: PartFile, within: str = "") -> bool:
    """Whether a file holds this network, its tensors' names beginning with `within`."""
    return all(
        any(contents.shapes.get(within + name) == shape for name in names.split("|"))
        for names, shape in part.shapes.items()
    )


def part_of(path: Path, contents: Contents, known: Iterable[PartFile]) -> PartFile | None:
    """The network that a file holds alone, where it is one of those `known`."""
    fit = (one for one in known if holds(contents, one) and re.search(one.called, path.stem, re.I))
    return next(fit, None)
