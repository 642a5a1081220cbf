"""Read one network out of a checkpoint as diffusers and transformers call its layers: streamed, fp8 made whole again.

One tensor is in memory at a time. What is quantised in other ways is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import safetensors.torch
import torch

from lora_gui.engine.load.tensor_files import read_tensors
from lora_gui.errors import UserError
from lora_gui.facts import SWAPPED, Facts
from lora_gui.formats import single_file
from lora_gui.formats.naming import Translation

Named = Iterator[tuple[str, torch.Tensor]]
_SCALES = (".scale_weight", ".weight_scale")  # ComfyUI's names, of older files and of newer ones
_BESIDE = (*_SCALES, ".scale_input", ".input_scale", "scaled_fp8", ".comfy_quant")  # what fp8 files have further
# of merges made before 2023, whose text encoder lacks a level
_OLD_TEXT = re.compile(r"^(cond_stage_model\.transformer\.)(embeddings\.|encoder\.|final_layer_norm\.)")
_LEAVES = {"scale": "weight"}  # of norms, as the original FLUX.1 has it


def tensors(file: Path, start: str, dtype: torch.dtype | None = None) -> Named:
    """The floating-point tensors whose names begin with `start`, without it, in `dtype`; as they are where it is None,
    but for fp8, which becomes bf16.

    Raises UserError where the file is damaged, or holds a network in few bits of a kind that is not read here.
    """

    def is_scale(name: str) -> bool:
        return name.startswith(start) and name.endswith(_SCALES)

    def is_own(name: str) -> bool:
        return name.startswith(start) and not name.endswith(_BESIDE)

    scales = {name.rpartition(".")[0]: value for name, value in read_tensors(file, is_scale)}
    for name, tensor in read_tensors(file, is_own):
        module, _, leaf = name.rpartition(".")
        if not tensor.is_floating_point():
            if leaf == "weight":
                what = f"{file.name} is held in few bits of a kind that is not read here."
                raise UserError(what, "Get it in 16 bits, or in fp8.")
            continue
        plain = torch.bfloat16 if tensor.element_size() == 1 else tensor.dtype
        if leaf == "weight" and module in scales:
            tensor = tensor.float() * _over_rows(scales[module].float(), tensor, file.name)
        yield name.removeprefix(start), tensor.to(dtype or plain)


def whole(file: Path) -> dict[str, torch.Tensor]:
    """All tensors of a checkpoint of Stable Diffusion as diffusers converts them: scaled weights made whole again, the
    text encoder by the names it has today. Where no weight is scaled they stay mapped, and take no memory.

    Raises UserError as `tensors`.
    """
    is_scaled = any(name.endswith(_BESIDE) for name in single_file.of(file).shapes)
    held = dict(tensors(file, "")) if is_scaled else safetensors.torch.load_file(file)
    return {_OLD_TEXT.sub(r"\1text_model.\2", name): tensor for name, tensor in held.items()}


def denoiser(file: Path, facts: Facts, start: str, dtype: torch.dtype) -> Named:
    """The tensors of a family's denoiser by their names in diffusers, fused layers taken apart.

    Raises UserError as `tensors`, and ValueError where a tensor has no place in the denoiser.
    """
    shapes = single_file.of(file).shapes
    names = Translation((facts.checkpoint_names | facts.checkpoint_norms).items())
    others = tuple(one.within for build in facts.single_files for one in build.apart.values())
    for name, tensor in tensors(file, start, dtype):
        if not start and name.startswith(others):
            continue
        module, _, leaf = name.rpartition(".")
        own = names.of(module)
        if not own:
            raise ValueError(name)
        widths = [facts.widths.get(path.rpartition(".")[2], 1) for path in own]
        each = tensor.shape[0] // sum(widths)
        pieces = tensor.split([each * width for width in widths]) if len(own) > 1 else (tensor,)
        for path, piece in zip(own, pieces, strict=True):
            outputs, *inputs = shapes.get(f"{start}{module}.weight", (0, 0))
            if path.endswith(SWAPPED) and outputs == 2 * inputs[0]:
                piece = torch.cat(piece.chunk(2)[::-1])
            yield f"{path.rstrip(SWAPPED)}.{_LEAVES.get(leaf, leaf)}", piece


def in_files(named: Named, keep: Callable[[dict[str, torch.Tensor]], None], most: int = 1 << 29) -> None:
    """Give the tensors to `keep` in lots of about so many bytes."""
    lot: dict[str, torch.Tensor] = {}
    for name, tensor in named:
        lot[name] = tensor.contiguous()
        if sum(one.nbytes for one in lot.values()) >= most:
            keep(lot)
            lot = {}
    if lot:
        keep(lot)


def _over_rows(scale: torch.Tensor, weight: torch.Tensor, name: str) -> torch.Tensor:
    """One scale for all of a weight, or one for each of its rows."""
    if scale.numel() == 1:
        return scale.reshape(())
    if scale.numel() == weight.shape[0] == scale.shape[0]:  # by blocks it may be as many
        return scale.view(-1, *[1] * (weight.ndim - 1))
    raise UserError(f"{name} is held in few bits of a kind that is not read here.", "Get it in 16 bits, or in fp8.")
