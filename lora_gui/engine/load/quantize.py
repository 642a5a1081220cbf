"""Hold a base's linear layers in 8 or 4 bits, made while its files stream in and kept on disk for the next start.

Knows no family: any module and the folder of its .safetensors files will do. The layers work on every device; LoRAs go
on top of them, their own weights are never trained.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import bitsandbytes.functional as bnb
import safetensors.torch
import torch
from torch import nn

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.formats import cache_names
from lora_gui.settings import Quantised

PRECISIONS = get_args(Quantised)
_SMALLEST = 65_536  # values; smaller layers stay as they are
_IN_A_BLOCK = re.compile(r"\.\d+\.")  # layers before and after the numbered blocks are few and delicate
_BLOCK = 64  # values of NF4 that share a scale (Dettmers et al. 2023)
_SCALES = 256  # of those scales share another one, section 3 of the same
_PART = 1 << 26  # bytes of a kept file; as much again is needed while one is written
_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "U8": torch.uint8, "I8": torch.int8,
           "I64": torch.int64, "I32": torch.int32, "F64": torch.float64, "BOOL": torch.bool}  # fmt: skip

Pieces = dict[str, torch.Tensor]


class QuantizedLinear(nn.Linear):
    """A frozen linear layer whose weight is rebuilt for each use. Its scales keep their format whatever `to` says."""

    kind: str

    def __init__(self, in_features: int, out_features: int, bias: nn.Parameter | None, device: torch.device) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = in_features, out_features
        self.register_parameter("bias", bias)
        for name, (shape, dtype) in self.pieces(out_features, in_features).items():
            self.register_buffer(name, torch.empty(shape, dtype=dtype, device=device))

    @staticmethod
    def pieces(out_features: int, in_features: int) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """Shape and format of what is held instead of the weight."""
        raise NotImplementedError

    @staticmethod
    def quantized(weight: torch.Tensor) -> Pieces:
        """What is held instead of `weight` (out, in)."""
        raise NotImplementedError

    def rebuilt(self, dtype: torch.dtype) -> torch.Tensor:
        """The weight (out, in), as near as its few bits allow."""
        raise NotImplementedError

    @property
    def weight(self) -> torch.Tensor:  # type: ignore[override]
        """For those who look at a layer's weight; made anew for each look, zeros while there is nothing to make it of.

        That is while the layer is streamed out, and on the meta device, where looks are many and none at the values.
        """
        dtype = torch.float32 if self.bias is None else self.bias.dtype
        device = next(piece.device for piece in self._buffers.values() if piece is not None)
        whole = all(piece.is_contiguous() for piece in self._buffers.values() if piece is not None)
        if device.type == "meta" or not whole:
            return torch.zeros((), dtype=dtype, device=device).expand(self.out_features, self.in_features)
        return self.rebuilt(dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.requires_grad:
            return _Frozen.apply(x, self)
        return nn.functional.linear(x, self.rebuilt(x.dtype), _as(self.bias, x))

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> QuantizedLinear:
        held = {name: piece for name, piece in self._buffers.items() if piece is not None}
        self._buffers.clear()
        super()._apply(fn, recurse)
        for name, piece in held.items():
            if fn(piece.new_empty(0, dtype=torch.uint8)).device != piece.device:
                piece = fn(piece.view(torch.uint8)).view(piece.dtype)  # as bytes no cast can touch it
            self._buffers[name] = piece  # the very same where it stays: whoever streams it holds on to it
        return self


class Int8Linear(QuantizedLinear):
    """Whole numbers from -127 to 127 and one scale for each row."""

    kind = "int8"
    rows: torch.Tensor
    scale: torch.Tensor

    @staticmethod
    def pieces(out_features: int, in_features: int) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        return {"rows": ((out_features, in_features), torch.int8), "scale": ((out_features, 1), torch.float32)}

    @staticmethod
    def quantized(weight: torch.Tensor) -> Pieces:
        scale = weight.abs().amax(dim=1, keepdim=True).float().clamp_(min=1e-12) / 127
        return {"rows": weight.float().div(scale).round_().to(torch.int8), "scale": scale}

    def rebuilt(self, dtype: torch.dtype) -> torch.Tensor:
        return self.rows.to(dtype).mul_(self.scale.to(dtype))


class Nf4Linear(QuantizedLinear):
    """NormalFloat 4, its scales in 8 bits themselves (Dettmers et al. 2023, QLoRA)."""

    kind = "nf4"
    packed: torch.Tensor
    scales: torch.Tensor
    scales_of_scales: torch.Tensor
    middle: torch.Tensor

    @staticmethod
    def pieces(out_features: int, in_features: int) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        count = math.ceil(out_features * in_features / _BLOCK)
        return {
            "packed": ((math.ceil(out_features * in_features / 2), 1), torch.uint8),
            "scales": ((count,), torch.uint8),
            "scales_of_scales": ((math.ceil(count / _SCALES),), torch.float32),
            "middle": ((1,), torch.float32),
        }

    @staticmethod
    def quantized(weight: torch.Tensor) -> Pieces:
        packed, scale = torch.ops.bitsandbytes.quantize_4bit(weight.contiguous(), _BLOCK, "nf4", torch.uint8)
        middle = scale.float().mean().reshape(1)
        code = _code(weight.device)
        scales, coarse = torch.ops.bitsandbytes.quantize_blockwise(scale.float() - middle, code, _SCALES)
        return {"packed": packed, "scales": scales, "scales_of_scales": coarse.float(), "middle": middle}

    def rebuilt(self, dtype: torch.dtype) -> torch.Tensor:
        scale = torch.ops.bitsandbytes.dequantize_blockwise(
            self.scales, self.scales_of_scales, _code(self.scales.device), _SCALES, torch.float32
        )
        shape = (self.out_features, self.in_features)
        return torch.ops.bitsandbytes.dequantize_4bit(self.packed, scale + self.middle, _BLOCK, "nf4", shape, dtype)


KINDS: dict[str, type[QuantizedLinear]] = {"int8": Int8Linear, "nf4": Nf4Linear}


class _Frozen(torch.autograd.Function):
    """x W^T + b without keeping W or x: the backward rebuilds W, and x is needed by no gradient."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, layer: QuantizedLinear) -> torch.Tensor:
        ctx.layer = layer
        return nn.functional.linear(x, layer.rebuilt(x.dtype), _as(layer.bias, x))

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        return grads[0] @ ctx.layer.rebuilt(grads[0].dtype), None


def replace(root: nn.Module, precision: str, device: torch.device) -> list[str]:
    """Put empty quantised layers in the place of `root`'s linear ones, and return their paths."""
    kind = KINDS[precision]
    paths = [path for path, module in root.named_modules() if _quantizable(path, module)]
    for path in paths:
        parent, name = _parent(root, path)
        old = getattr(parent, name)
        setattr(parent, name, kind(old.in_features, old.out_features, old.bias, device))
    return paths


def load(
    build: Callable[[], nn.Module], source: Path, precision: str, device: torch.device, dtype: torch.dtype,
    kept: Path | None, home: torch.device | None = None,
) -> nn.Module:  # fmt: skip
    """The module that `build` makes, with its linear layers in `precision` and the rest in `dtype`.

    Its weights come from the .safetensors files in `source`, one at a time; the work is done on `device` and the result
    lies there, or on `home`. It is kept under `kept`, where that is given, and read from there the next time. Raises
    UserError where files are missing or damaged.
    """
    from accelerate import init_empty_weights

    home = home or device

    with init_empty_weights(include_buffers=False):
        root = build()
    paths = set(replace(root, precision, torch.device("meta")))
    folder = kept / cache_names.quantised(source, precision, str(dtype)) if kept else None
    parts = _kept(folder) if folder else []
    if parts:
        for part in parts:
            for name, tensor in _tensors(part):
                _put(root, name, tensor.to(home))
    else:
        _make(root, paths, source, KINDS[precision], (device, home), dtype, folder)
    missing = [name for name, tensor in root.state_dict().items() if tensor.is_meta]
    if missing:
        raise UserError(
            f"The base is not whole: {missing[0]} and {len(missing) - 1} others are missing.",
            "Download or add this base again.",
        )
    return root.requires_grad_(False).to(home).eval()


def _make(
    root: nn.Module, paths: set[str], source: Path, kind: type[QuantizedLinear],
    places: tuple[torch.device, torch.device], dtype: torch.dtype, folder: Path | None,
) -> None:  # fmt: skip
    """Read the files tensor by tensor, quantise what is to be, and keep the result in files of a bounded size.

    `places` are the device that works and the one the result lies on.
    """
    device, home = places
    known = set(root.state_dict())
    names: list[str] = []
    waiting: Pieces = {}
    size = 0
    for file in sorted(source.glob("*.safetensors")):
        for name, tensor in _tensors(file):
            path, _, last = name.rpartition(".")
            whole = tensor.to(device)
            if path in paths and last == "weight":
                new = {f"{path}.{piece}": value for piece, value in kind.quantized(whole.to(dtype)).items()}
            elif name in known:
                new = {name: whole.to(dtype) if whole.is_floating_point() else whole}
            else:
                continue
            for key, value in new.items():
                value = value.to(home)
                _put(root, key, value)
                if folder:
                    waiting[key] = value
                    size += value.nbytes
            if folder and size >= _PART:
                names.append(_keep(folder, len(names), waiting))
                waiting, size = {}, 0
    if folder:
        names.append(_keep(folder, len(names), waiting))
        files.write_json(folder / cache_names.INDEX, names)  # last: without it the folder does not count


def _keep(folder: Path, number: int, tensors: Pieces) -> str:
    name = f"part-{number:04}.safetensors"
    files.write_bytes(folder / name, safetensors.torch.save({key: value.cpu() for key, value in tensors.items()}))
    return name


def _kept(folder: Path) -> list[Path]:
    """The files of an earlier start, if all are there."""
    names = files.read_json(folder / cache_names.INDEX) or []
    parts = [folder / str(name) for name in names]
    return parts if all(part.is_file() for part in parts) else []


def _tensors(file: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor of a .safetensors file, one in memory at a time. A map of the file would count as memory in use."""
    try:
        with open(file, "rb") as read:
            length = int.from_bytes(read.read(8), "little")
            header = json.loads(read.read(length)) if length < file.stat().st_size else {}
            header.pop("__metadata__", None)
            for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
                start, end = entry["data_offsets"]
                tensor = torch.empty(entry["shape"], dtype=_DTYPES[entry["dtype"]])
                read.seek(8 + length + start)
                whole = read.readinto(tensor.view(-1).view(torch.uint8).numpy().data) if end > start else 0
                if tensor.nbytes != end - start or whole != end - start:
                    raise ValueError(name)
                yield name, tensor
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file.name} is damaged or cut off.", "Download or add this base again.") from error


def _put(root: nn.Module, name: str, tensor: torch.Tensor) -> None:
    parent, last = _parent(root, name)
    if last in parent._buffers:
        parent._buffers[last] = tensor
    elif last in parent._parameters:
        parent._parameters[last] = nn.Parameter(tensor, requires_grad=False)


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
def _code(device: torch.device) -> torch.Tensor:
    """The 256 values that a scale of NF4 can have."""
    return torch.empty(256, device=device) if device.type == "meta" else bnb.create_dynamic_map().to(device)


def _as(bias: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor | None:
    return None if bias is None else bias.to(x.dtype)
