"""How a base's networks get into memory: whole, in few bits, or block by block from the computer's own memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from lora_gui.engine.load import offload, quantize
from lora_gui.families.base import Load, whole
from lora_gui.protocol.jobs import DrawJob
from lora_gui.settings import TrainSettings

STREAMED_FROM = 1 << 30  # bytes; a text encoder of this size or more is never whole on the card


def text_encoder(kind: Any, folder: Path, device: torch.device, dtype: torch.dtype) -> Any:
    """A `Load` for what reads captions: each layer of a large one is on the card only while it is used.

    It reads a few captions once, so this costs about a second, and it may be larger than the base that is trained.
    """
    if device.type != "cuda":
        return whole(kind, folder, device, dtype)
    network = whole(kind, folder, torch.device("cpu"), dtype)
    if nbytes(network) >= STREAMED_FROM:
        offload.BlockOffloader(network, device, len(offload.blocks(network)))
    return network.to(device)


def denoiser(settings: TrainSettings | DrawJob, kept: Path | None) -> Load:
    """A `Load` for what is trained or drawn with, in the precision and with the blocks in RAM that the settings say.

    What was made in few bits is kept in the folder `kept` for the next start, where there is one. Add LoRAs afterwards.
    """

    def load(kind: Any, folder: Path, device: torch.device, dtype: torch.dtype) -> Any:
        streams = settings.streamed_blocks and can_recompute(kind)
        home = torch.device("cpu") if streams else device
        if settings.precision in quantize.PRECISIONS:
            config = kind.load_config(folder)
            network = quantize.load(
                lambda: kind.from_config(config), folder, settings.precision, device, dtype, kept, home
            )
        else:
            network = whole(kind, folder, home, dtype)
        if streams:
            offload.BlockOffloader(network, device, settings.streamed_blocks)
        return network.to(device)

    return load


def can_recompute(network: Any) -> bool:
    """Whether a network, or a class of them, can leave its blocks' results out of memory and make them again."""
    return bool(getattr(network, "_supports_gradient_checkpointing", False))


def nbytes(network: nn.Module) -> int:
    """Bytes of all weights, shared ones once."""
    held = (*network.parameters(), *network.buffers())
    return sum({tensor.untyped_storage()._cdata: tensor.nbytes for tensor in held}.values())
