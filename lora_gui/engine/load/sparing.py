"""What decodes latents, held so that it takes little of a card: in RAM until it is used, and then tile by tile."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from lora_gui.engine.load.offload import Host

_TILE = 512  # px, the side of a tile; neighbours share a quarter of it and are blended there
_SHARED = 0.25
_AT_ONCE = 6  # times the channels of its largest pictures, what an autoencoder holds of each pixel while it decodes
_BESIDE = 1.5  # times that, with what convolutions take for themselves


def tile(network: Any) -> None:
    """Let an autoencoder of diffusers that can do so decode more than 512 px in tiles, each normalised by itself.

    Memory no longer grows with the picture; tones can differ a little from tile to tile.
    """
    if hasattr(network, "use_tiling"):
        network.enable_tiling()
        network.tile_sample_min_size, network.tile_overlap_factor = _TILE, _SHARED
        network.tile_latent_min_size = _TILE // 2 ** (len(network.config.block_out_channels) - 1)


def fit(network: Any, pixels: int, room: float) -> None:
    """Let an autoencoder decode so many pixels whole where so many bytes have room for that, and in tiles elsewhere."""
    if hasattr(network, "use_tiling"):
        needed = _BESIDE * _AT_ONCE * network.config.block_out_channels[0] * network.dtype.itemsize * pixels
        if needed <= room:
            network.disable_tiling()
        else:
            tile(network)


class Resting:
    """The weights of a frozen network wait in RAM, pinned where `device` is a GPU, and come when it is first run.

    `rest` takes them away again; nothing is copied back, since they do not change. Buffers stay on the device.
    """

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self.device = device
        self._host = Host.of(network.parameters(), device)
        self._buffer: torch.Tensor | None = None
        self.rest()
        for module in network.modules():  # whichever is run first: a decoder is not always its network's `forward`
            module.register_forward_pre_hook(self._wake)

    def rest(self) -> None:
        """Free the device's memory."""
        self._host.release(self.device)
        self._buffer = None

    def _wake(self, *_: Any) -> None:
        if self._buffer is None:
            self._buffer = torch.empty(self._host.nbytes, dtype=torch.uint8, device=self.device)
            self._host.copy_to(self._buffer)
            self._host.bind(self._buffer)
