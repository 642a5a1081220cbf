"""Any LoRA file into the one internal form, and the internal form into any dialect."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors.torch
import torch

from lora_gui.errors import UserError, nearest
from lora_gui.formats import diffusers, kohya
from lora_gui.formats.lora_file import Layers, Shapes, check_shapes
from lora_gui.formats.metadata import identify, read_header

if TYPE_CHECKING:
    from lora_gui.families.base import Facts

DIALECTS = {"kohya": kohya, "diffusers": diffusers}


def read(path: Path, shapes: Shapes, facts: Facts, known: Iterable[Facts]) -> Layers:
    """The LoRA in a file, for a base of the family `facts` whose layers are `shapes`; `known` are all families.

    Raises UserError where the file is damaged, of another family, of another base or holds what is not a number.
    """
    header = read_header(path)
    families = {one.key: one for one in known}
    key, dialect = identify(header, families.values())
    if key != facts.key:
        raise UserError(
            f"{path.stem} was made for {families[key].title}, but this base is of {facts.title}.",
            f"Take it out of the stack, or draw with a base of {families[key].title}.",
        )
    if dialect not in DIALECTS:
        raise UserError(f"{path.stem} is written in the {dialect} way, which cannot be read for this base.",
                        f"Ask its maker for one of: {', '.join(DIALECTS)}.")  # fmt: skip
    try:
        return parse(safetensors.torch.load_file(path), header.metadata, dialect, shapes, facts)
    except UserError as error:
        raise UserError(f"{path.stem}: {error.what}", error.remedy) from None


def parse(
    tensors: dict[str, torch.Tensor], metadata: dict[str, str], dialect: str, shapes: Shapes, facts: Facts
) -> Layers:
    """The LoRA in `tensors`. Raises UserError where it does not fit the base or holds what is not a number."""
    layers = DIALECTS[dialect].parse(tensors, metadata, shapes, facts.prefixes)
    check_shapes(layers, shapes)
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise UserError("Some of its values are not numbers, so it would spoil every drawing.", "Use another LoRA.")
    return layers


def build(layers: Layers, facts: Facts, dialect: str = "") -> dict[str, torch.Tensor]:
    """The tensors of a file in fp32; `dialect` empty means the family's own. Raises UserError for unknown dialects."""
    dialect = dialect or facts.dialects[0]
    if dialect not in DIALECTS:
        raise UserError(f"No way of writing LoRA files is called {dialect!r}.", nearest(dialect, DIALECTS))
    return DIALECTS[dialect].build(layers, facts.prefixes)
