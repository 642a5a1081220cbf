"""Read .safetensors files tensor by tensor, and put tensors into a network that was built without any."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import nn

from lora_gui.errors import UserError
from lora_gui.formats.header import entries

_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "U8": torch.uint8, "I8": torch.int8,
           "I64": torch.int64, "I32": torch.int32, "F64": torch.float64, "BOOL": torch.bool,
           "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2}  # fmt: skip


def read_tensors(file: Path, wanted: Callable[[str], bool] = bool) -> Iterator[tuple[str, torch.Tensor]]:
    """Every `wanted` tensor of a file, one in memory at a time; a memory map of the file would count as memory in use.

    Raises UserError where the file is damaged or cut off.
    """
    try:
        with open(file, "rb") as read:
            found, _, first = entries(read, file.name, file.stat().st_size)
            listed = sorted(found.items(), key=lambda item: item[1][2])
            for name, (dtype, shape, start, end) in (one for one in listed if wanted(one[0])):
                if end - start != math.prod(shape) * _DTYPES[dtype].itemsize:
                    raise ValueError(name)
                tensor = torch.empty(shape, dtype=_DTYPES[dtype])
                read.seek(first + start)
                if end > start and read.readinto(tensor.view(-1).view(torch.uint8).numpy().data) != end - start:
                    raise ValueError(name)
                yield name, tensor
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, UserError) as error:
        if "memory" in str(error).lower():  # the computer's, which no file is to blame for
            raise
        raise UserError(f"{file.name} is damaged or cut off.", "Download or add this base again.") from error


def assign(root: nn.Module, name: str, tensor: torch.Tensor) -> None:
    """Put a tensor in the place of the parameter or buffer called `name`; nothing where `root` has no such."""
    path, _, last = name.rpartition(".")
    parent = root.get_submodule(path)
    if last in parent._buffers:
        parent._buffers[last] = tensor
    elif last in parent._parameters:
        parent._parameters[last] = nn.Parameter(tensor, requires_grad=False)


def lacking(root: nn.Module) -> list[str]:
    """The tensors that nothing has been put in the place of yet."""
    return [name for name, tensor in root.state_dict().items() if tensor.is_meta]
