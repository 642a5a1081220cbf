"""A rough picture of latents without the decoder: a linear map from latents to colours, found once for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from PIL import Image

_SIZE = 128  # px of the picture that the map is learnt from
_SCALE = 8  # a preview is that many times larger than its latents


def colour_map(vae: Any) -> torch.Tensor:
    """The map for the latents of a KL autoencoder; see `fitted`."""
    weight = next(vae.parameters())
    return fitted(lambda pixels: vae.encode(pixels.to(weight.device, weight.dtype)).latent_dist.mean)


@torch.no_grad()
def fitted(encode: Callable[[torch.Tensor], torch.Tensor], size: int = _SIZE) -> torch.Tensor:
    """The least-squares map from latents (and a constant) to RGB in [-1, 1]; (C + 1, 3).

    Soft random colours of `size` px are encoded, and each cell of the latents is compared with the mean colour of its
    pixels. `encode` makes (B, C, h, w) of (B, 3, size, size) in [-1, 1].
    """
    generator = torch.Generator().manual_seed(0)
    blocks = torch.rand((4, 3, 8, 8), generator=generator) * 2 - 1
    pixels = torch.nn.functional.interpolate(blocks, size=(size, size), mode="bicubic").clamp(-1, 1)
    latents = encode(pixels).float().cpu()
    colours = torch.nn.functional.adaptive_avg_pool2d(pixels, (latents.shape[-2], latents.shape[-1]))
    rows = latents.movedim(1, -1).flatten(0, 2)  # (cells, C)
    rows = torch.cat([rows, torch.ones(len(rows), 1)], dim=1)
    return torch.linalg.lstsq(rows, colours.movedim(1, -1).flatten(0, 2), driver="gelsd").solution


def picture(latents: torch.Tensor, colours: torch.Tensor) -> Image.Image:
    """The picture of one latent (C, h, w) as the decoder takes it, through a map of `colour_map`."""
    cells = latents.float().cpu().movedim(0, -1)
    rgb = cells @ colours[:-1] + colours[-1]
    pixels = ((rgb.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy()
    image = Image.fromarray(pixels, "RGB")
    return image.resize((image.width * _SCALE, image.height * _SCALE), Image.Resampling.BICUBIC)
