"""Load a base's networks: in full precision, quantised (int8, NF4), or with blocks offloaded to RAM."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lora_gui.engine.load import device as devices
from lora_gui.engine.load import offload, quantize
from lora_gui.families.base import Load, whole
from lora_gui.formats import cache_names, single_file
from lora_gui.protocol.jobs import DrawJob
from lora_gui.settings import TrainSettings

OFFLOADED_FROM = 1 << 30  # bytes; a text encoder of this size or more is offloaded block by block


def text_encoder(kind: Any, folder: Path, device: torch.device, dtype: torch.dtype) -> Any:
    """A `Load` for text encoders: a large one is offloaded, each of its blocks on the GPU only while it is used.

    It encodes a few captions once, so this costs about a second, and it may be larger than the denoiser itself. On a
    processor one that has no room in 32 bits is held in 16, in which some take longer.
    """
    if device.type == "cpu" and dtype == torch.float32:
        values = sum(single_file.read(file).values for file in folder.glob("[!.]*.safetensors"))
        dtype = torch.bfloat16 if values * dtype.itemsize > devices.free(device) else dtype
    if device.type != "cuda":
        return whole(kind, folder, device, dtype)
    network = whole(kind, folder, torch.device("cpu"), dtype)
    if nbytes(network) >= OFFLOADED_FROM:
        offload.BlockOffloader(network, device, len(offload.blocks(network)))
    return network.to(device)


def denoiser(
    settings: TrainSettings | DrawJob, cache: str = "", tell: Callable[[str], None] = quantize.warn
) -> Load:
    """A `Load` for the denoiser: its precision and its number of offloaded blocks are those of `settings`.

    A quantised network is kept in the folder `cache` for the next start, where one is named; `tell` is told where what
    was kept could not be read. Add adapters afterwards.
    """
    kept = Path(cache) / cache_names.QUANTISED if cache else None

    def load(kind: Any, folder: Path, device: torch.device, dtype: torch.dtype) -> Any:
        apart = device.type != "mps"  # whose memory is the computer's own
        offloads = settings.streamed_blocks and apart and can_checkpoint_gradients(kind)
        home = torch.device("cpu") if offloads else device
        if settings.precision in quantize.PRECISIONS:
            config = kind.load_config(folder)
            place = quantize.Placement(device, dtype, home)
            network = quantize.load(
                lambda: kind.from_config(config), folder, settings.precision, place, kept, tell
            )
        else:
            network = whole(kind, folder, home, dtype)
        if offloads:
            offload.BlockOffloader(network, device, settings.streamed_blocks)
        return network.to(device)

    return load


def can_checkpoint_gradients(network: Any) -> bool:
    """Whether a network, or a class of them, supports gradient checkpointing."""
    return bool(getattr(network, "_supports_gradient_checkpointing", False))


def nbytes(network: nn.Module) -> int:
    """Bytes of all weights, shared ones once."""
    held = (*network.parameters(), *network.buffers())
    return sum({tensor.untyped_storage()._cdata: tensor.nbytes for tensor in held}.values())
