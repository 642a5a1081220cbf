"""Linear layers with weights quantised to int8 or NF4, and a base loaded with them while its files stream in.

Knows no family: any module and the folder of its .safetensors files will do. The layers work on every device; adapters
go on top of them, their own weights are frozen.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args

import torch
from torch import nn

from lora_gui import files, lean
from lora_gui.engine.load import int8, quantised_cache
from lora_gui.engine.load.frozen import passed
from lora_gui.engine.load.tensor_files import assign, lacking, read_tensors
from lora_gui.errors import UserError
from lora_gui.formats import base_files, cache_names
from lora_gui.settings import Quantised

PRECISIONS = get_args(Quantised)
_SMALLEST = 65_536  # values; smaller layers are not quantised
_IN_A_BLOCK = re.compile(r"\.\d+\.")  # layers before and after the numbered blocks are few and delicate
_BLOCK = 64  # values of NF4 that share a scale (Dettmers et al. 2023)
_SCALES = 256  # of those scales share another one: double quantisation, section 3 of the same

warn = logging.getLogger(__name__).warning  # into the log of the task

Tensors = dict[str, torch.Tensor]


class QuantizedLinear(nn.Linear):
    """A frozen linear layer whose weight is dequantised for each use; no `to` changes the dtype of its scales."""

    kind: str

    def __init__(self, in_features: int, out_features: int, bias: nn.Parameter | None, device: torch.device) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = in_features, out_features
        self.register_parameter("bias", bias)
        for name, (shape, dtype) in self.layout(out_features, in_features).items():
            self.register_buffer(name, torch.empty(shape, dtype=dtype, device=device))

    @staticmethod
    def layout(out_features: int, in_features: int) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """Shape and dtype of each buffer that stands for the weight (out, in)."""
        raise NotImplementedError

    @staticmethod
    def quantise(weight: torch.Tensor) -> Tensors:
        """The buffers that stand for `weight` (out, in)."""
        raise NotImplementedError

    def dequantised(self, dtype: torch.dtype) -> torch.Tensor:
        """Dequantised weight (out, in)."""
        raise NotImplementedError

    @property
    def weight(self) -> torch.Tensor:  # type: ignore[override]
        """Dequantised weight, for code that reads `weight` of any linear layer; zeros while there are no buffers.

        That is while the layer is offloaded, and on the meta device, where many read it and none its values.
        """
        dtype = torch.float32 if self.bias is None else self.bias.dtype
        device = next(buffer.device for buffer in self._buffers.values() if buffer is not None)
        whole = all(buffer.is_contiguous() for buffer in self._buffers.values() if buffer is not None)
        if device.type == "meta" or not whole:
            return torch.zeros((), dtype=dtype, device=device).expand(self.out_features, self.in_features)
        return self.dequantised(dtype)

    def multiplies_as_it_is(self, x: torch.Tensor) -> bool:
        """Whether `x` (..., in) is multiplied by the weight without its being dequantised."""
        return False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return passed(x, self)

    def ahead(self, x: torch.Tensor) -> torch.Tensor:
        """x W^T + b; W is dequantised for this use alone."""
        return nn.functional.linear(x, self.dequantised(x.dtype), _as(self.bias, x))

    def back(self, grad: torch.Tensor) -> torch.Tensor:
        """The gradient of the input; W is dequantised again."""
        return grad @ self.dequantised(grad.dtype)

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> QuantizedLinear:
        buffers = {name: buffer for name, buffer in self._buffers.items() if buffer is not None}
        self._buffers.clear()
        super()._apply(fn, recurse)
        for name, buffer in buffers.items():
            if fn(buffer.new_empty(0, dtype=torch.uint8)).device != buffer.device:
                buffer = fn(buffer.view(torch.uint8)).view(buffer.dtype)  # as bytes no cast can touch it
            self._buffers[name] = buffer  # the very same where it stays: an offloader holds on to it
        return self


class Int8Linear(QuantizedLinear):
    """Symmetric int8, one scale per output row (absmax)."""

    kind = "int8"
    rows: torch.Tensor
    scale: torch.Tensor

    @staticmethod
    def layout(out_features: int, in_features: int) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        return {"rows": ((out_features, in_features), torch.int8), "scale": ((out_features, 1), torch.float32)}

    @staticmethod
    def quantise(weight: torch.Tensor) -> Tensors:
        scale = weight.abs().amax(dim=1, keepdim=True).float().clamp_(min=1e-12) / 127
        return {"rows": weight.float().div(scale).round_().to(torch.int8), "scale": scale}

    def multiplies_as_it_is(self, x: torch.Tensor) -> bool:
        return int8.applies(x, self.rows)

    def ahead(self, x: torch.Tensor) -> torch.Tensor:
        if self.multiplies_as_it_is(x):
            return int8.linear(x, self.rows, self.scale, _as(self.bias, x))
        return super().ahead(x)

    def dequantised(self, dtype: torch.dtype) -> torch.Tensor:
        return self.rows.to(dtype).mul_(self.scale.to(dtype))


class Nf4Linear(QuantizedLinear):
    """NormalFloat 4 with double quantisation of the scales (Dettmers et al. 2023, QLoRA)."""

    kind = "nf4"
    packed: torch.Tensor
    scales: torch.Tensor
    scales_of_scales: torch.Tensor
    offset: torch.Tensor

    @staticmethod
    def layout(out_features: int, in_features: int) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        count = math.ceil(out_features * in_features / _BLOCK)
        return {
            "packed": ((math.ceil(out_features * in_features / 2), 1), torch.uint8),
            "scales": ((count,), torch.uint8),
            "scales_of_scales": ((math.ceil(count / _SCALES),), torch.float32),
            "offset": ((1,), torch.float32),
        }

    @staticmethod
    def quantise(weight: torch.Tensor) -> Tensors:
        packed, scale = _bitsandbytes().quantize_4bit(weight.contiguous(), _BLOCK, "nf4", torch.uint8)
        offset = scale.float().mean().reshape(1)
        code = _code(weight.device)
        scales, coarse = _bitsandbytes().quantize_blockwise(scale.float() - offset, code, _SCALES)
        return {"packed": packed, "scales": scales, "scales_of_scales": coarse.float(), "offset": offset}

    def dequantised(self, dtype: torch.dtype) -> torch.Tensor:
        scale = _bitsandbytes().dequantize_blockwise(
            self.scales, self.scales_of_scales, _code(self.scales.device), _SCALES, torch.float32
        )
        shape = (self.out_features, self.in_features)
        return _bitsandbytes().dequantize_4bit(self.packed, scale + self.offset, _BLOCK, "nf4", shape, dtype)


KINDS: dict[str, type[QuantizedLinear]] = {"int8": Int8Linear, "nf4": Nf4Linear}


def replace(root: nn.Module, precision: str, device: torch.device) -> list[str]:
    """Put empty quantised layers in the place of `root`'s linear ones; returns their paths."""
    kind = KINDS[precision]
    paths = [path for path, module in root.named_modules() if _quantizable(path, module)]
    for path in paths:
        parent, name = _parent(root, path)
        old = getattr(parent, name)
        setattr(parent, name, kind(old.in_features, old.out_features, old.bias, device))
    return paths


@dataclass(frozen=True)
class Placement:
    """Where and in what a network is loaded: `device` quantises, `dtype` is for all that is not, `home` is where it
    lies afterwards."""

    device: torch.device
    dtype: torch.dtype
    home: torch.device


def load(
    build: Callable[[], nn.Module], source: Path, precision: str, place: Placement, kept: Path | None = None,
    tell: Callable[[str], None] = warn,
) -> nn.Module:  # fmt: skip
    """The module that `build` makes, its linear layers in `precision`, frozen.

    Its weights come from the .safetensors files in `source`, one tensor at a time. The result is kept in the folder
    `kept`, where that is given, and read from there the next time; one that cannot be read is made anew, and `tell` is
    told so. Raises UserError where files of `source` are missing or damaged, or the disk is full.
    """
    from accelerate import init_empty_weights

    with init_empty_weights(include_buffers=False):
        root = build()
    paths = set(replace(root, precision, torch.device("meta")))
    if kept is None:
        _quantise_files(root, paths, source, KINDS[precision], place)
    else:
        folder = kept / cache_names.quantised(source, precision, str(place.dtype))
        with quantised_cache.locked(kept):
            if not _read_kept(root, folder, place.home, tell):
                writer = quantised_cache.Writer(folder)
                _quantise_files(root, paths, source, KINDS[precision], place, writer.add)
                writer.close()
            quantised_cache.evict(kept, in_use=folder)
    return root.requires_grad_(False).to(place.home).eval()


def _read_kept(root: nn.Module, folder: Path, home: torch.device, tell: Callable[[str], None]) -> bool:
    """Whether all of `root` could be read from an earlier start's folder; a damaged one is deleted."""
    if not folder.exists():
        return False
    try:
        for name, tensor in quantised_cache.read(folder):
            assign(root, name, tensor.to(home))
        if not lacking(root):
            return True
    except (UserError, AttributeError):  # the latter for a name that no module of `root` has
        pass
    tell("The copy of this base in few bits could not be read; it is made again from the base, which takes longer.")
    files.remove_folder(folder)
    return False


def _quantise_files(
    root: nn.Module, paths: set[str], source: Path, kind: type[QuantizedLinear], place: Placement,
    keep: Callable[[str, torch.Tensor], None] = lambda name, tensor: None,
) -> None:  # fmt: skip
    """Fill `root` from the files of `source`, tensor by tensor, quantising the weights of the layers at `paths`.

    `keep` is given every tensor as it lies in `root`. Raises UserError where some are missing.
    """
    known = set(root.state_dict())
    found = base_files.weights(source)
    for file in found.files if found else ():
        for name, tensor in read_tensors(file):
            path, _, last = name.rpartition(".")
            if path in paths and last == "weight":
                quantised = kind.quantise(tensor.to(place.device).to(place.dtype))
                new = {f"{path}.{buffer}": value for buffer, value in quantised.items()}
            elif name in known:
                new = {name: tensor.to(place.device, place.dtype) if tensor.is_floating_point() else tensor}
            else:
                continue
            for key, value in new.items():
                value = value.to(place.home)
                assign(root, key, value)
                keep(key, value)
    if missing := lacking(root):
        raise UserError(
            f"The base is not whole: {missing[0]} and {len(missing) - 1} others are missing.",
            "Download or add this base again.",
        )


def _parent(root: nn.Module, path: str) -> tuple[nn.Module, str]:
    above, _, name = path.rpartition(".")
    return root.get_submodule(above), name


def _quantizable(path: str, module: nn.Module) -> bool:
    return (
        type(module) is nn.Linear
        and module.in_features * module.out_features >= _SMALLEST
        and module.in_features * module.out_features % _BLOCK == 0
        and bool(_IN_A_BLOCK.search(path))
    )


@cache
def _bitsandbytes() -> Any:
    """Its operations; imported only for a base in 4 bits, since it takes all of torch's compiler with it."""
    lean.bitsandbytes()  # registers them
    return torch.ops.bitsandbytes


@cache
def _code(device: torch.device) -> torch.Tensor:
    """The 256 values of the code that the scales of NF4 are quantised with."""
    if device.type == "meta":
        return torch.empty(256, device=device)
    code: torch.Tensor = lean.bitsandbytes().functional.create_dynamic_map()
    return code.to(device)


def _as(bias: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor | None:
    return None if bias is None else bias.to(x.dtype)
