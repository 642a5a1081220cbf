"""Whether a base fits this computer: in which precision it is held to draw with, and what a training would lack."""

import functools
import shutil
from pathlib import Path
from typing import Any, get_args

import psutil

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.formats import cache_names
from lora_gui.formats.naming import PARTS, is_text
from lora_gui.protocol.jobs import Base
from lora_gui.settings import Quantised, TrainSettings
from lora_gui.studio.capacity import gpu
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import bases, presets

_GIB = 2**30
_DRAWING = 2.0  # GiB beside the weights, for a drawing and the driver
_SMALL = 1.0  # GiB of weights, in 16 bits, that fit every computer
_SHARE = 0.8  # of the computer's memory that a drawing may fill: other programs use it too
_PROGRAM = 1.5  # GiB, of the program itself
_BYTES = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0, "int8": 1.05, "nf4": 0.6}  # of a value, its share of the scales too


def held(studio: Studio, base: Base) -> dict[str, Any]:
    """How a base is held to draw with, as fields of a DrawJob: in full, or as it is trained on a small GPU, or without
    one in as many bits as the computer's memory has room for."""
    gib, halved = gpu.memory(), _halved(base)
    if not gib:
        room = _SHARE * psutil.virtual_memory().total / _GIB - _DRAWING
        in_half = "bf16" if computes_in_16_bits() else "int8"
        return {} if 2 * halved <= room else {"precision": in_half if halved <= room else "nf4"}
    if halved + _DRAWING <= gib:
        return {}
    try:
        settings = presets.fill(studio, presets.ORDER[0], bases.built_like(base), 1, card=gib)
    except UserError:  # a preset of the user's with a mistake in it, which Train speaks of
        return {}
    return {"precision": settings.precision, "streamed_blocks": settings.streamed_blocks}


def said(base: Base, held: dict[str, Any]) -> str:
    """What is worth knowing of a base that is `held` so to draw with; empty where it looks as in full."""
    bits = {"int8": 8, "nf4": 4}.get(held.get("precision", ""))
    return f"{base.title} has no room here in full, so it draws in {bits} bits, a little differently." if bits else ""


def is_large(base: Base) -> bool:
    """Whether a base could be too large for a computer."""
    return _halved(base) > _SMALL


def is_tight(base: Base) -> bool:
    """Whether there is a GPU, and a base that could be too large for it."""
    return bool(gpu.memory()) and is_large(base)


@functools.cache
def computes_in_16_bits() -> bool:
    """Whether torch has kernels for bf16 on this processor: where it has AVX-512, which numpy tells without torch's
    being loaded. A few of Intel's newest are quick by other means, of which numpy does not know."""
    import numpy as np  # most commands do not need it

    simd: Any = np.show_config(mode="dicts")
    found = simd["SIMD Extensions"]
    return "X86_V4" in (*found["baseline"], *found["found"])


def require(studio: Studio, base: Base, settings: TrainSettings) -> None:
    """Raises UserError where the base is damaged, or where the disk, the GPU or the RAM has no room for it.

    Counts weights alone, which is done at once; what a step needs beside them is for the plan.
    """
    found = bases.networks(base)
    if 2 * sum(found.values()) / _GIB <= _SMALL:
        return
    text, precision, gib = {part for part in found if is_text(_name(part))}, settings.precision, gpu.memory()
    widened = not gib and _BYTES[precision] == 2.0 and not computes_in_16_bits()
    size = _BYTES["fp32" if widened else precision]
    parts = {part: count * (2.0 if part in text else size) / _GIB for part, count in found.items()}
    trained = {part: gib for part, gib in parts.items() if _name(part) in PARTS and part not in text}
    smaller = "Choose a smaller base, or a lower precision in Details, such as NF4."
    if gib and not (settings.streamed_blocks and gpu.has_its_own()) and (weights := sum(trained.values())) > gib:
        what = f"{base.title} alone fills {weights:.1f} GB in this precision; your card has {gib:.0f} GB."
        raise UserError(what, smaller)
    largest = max(parts, key=lambda part: parts[part])
    ram = parts[largest] + _PROGRAM
    free = psutil.virtual_memory().available / _GIB
    if ram > free:
        what = f"Loading {base.title} takes about {ram:.0f} GB of the computer's own memory; {free:.0f} GB are free."
        helps = largest not in text  # a text encoder is never quantised
        raise UserError(what, f"Close other programs. {smaller if helps else 'Or choose a smaller base.'}")
    if precision in get_args(Quantised):
        _require_disk(studio, base, precision, trained)


def _require_disk(studio: Studio, base: Base, precision: str, trained: dict[str, float]) -> None:
    """Raises UserError where the cache's disk has no room for the quantised networks that are not kept there yet.

    `trained` are their GiB by their folders within the base.
    """
    path = Path(base.path)
    root = path
    if path.is_file():
        root = studio.cache / cache_names.UNPACKED / cache_names.unpacked(path, base.parts.values())
    kept = {part for part in trained if cache_names.is_quantised(studio.cache, root / part, precision)}
    needed = sum(gib for part, gib in trained.items() if part not in kept)
    files.make_folder(studio.cache)
    free = shutil.disk_usage(studio.cache).free / _GIB
    if needed > free:
        what = f"Keeping {base.title} in few bits takes {needed:.1f} GB of your studio's disk; {free:.1f} GB are free."
        raise UserError(what, f"Make some space on the disk of {studio.home}.")


def _halved(base: Base) -> float:
    """GiB of all its networks in 16 bits; 0 where their files cannot be read, which loading will speak of."""
    try:
        return 2 * sum(bases.networks(base).values()) / _GIB
    except UserError:
        return 0.0


def _name(part: str) -> str:
    return part.rpartition("/")[2]
