"""Pictures to latents and back with a KL autoencoder; never in fp16, in which some of them overflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL

from lora_gui.families.base import whole


def load(base: Path, device: torch.device, dtype: torch.dtype) -> Any:
    """The autoencoder of a base, in `dtype` or, where that is fp16, in fp32."""
    wide = torch.float32 if dtype == torch.float16 else dtype
    return whole(AutoencoderKL, base / "vae", device, wide)


def scale(vae: Any) -> int:
    """How many pixels a cell of the latents is wide."""
    return 2 ** (len(vae.config.block_out_channels) - 1)


def encoded(vae: Any, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
    """(B, 3, H, W) in [-1, 1] to mean and std of the posterior, scaled as the denoiser takes it; (B, C, h, w) fp32."""
    posterior = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist
    shift, factor = _shift(vae), vae.config.scaling_factor
    return {"mean": (posterior.mean.float() - shift) * factor, "std": posterior.std.float() * factor}


def decoded(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """The opposite of `encoded`: latents (B, C, h, w) of the denoiser to pixels (B, 3, H, W) in [-1, 1]."""
    return vae.decode(raw(vae, latents).to(vae.dtype)).sample


def scaled(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """The opposite of `raw`."""
    return (latents - _shift(vae)) * vae.config.scaling_factor


def raw(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """Latents as the autoencoder itself has them."""
    return latents / vae.config.scaling_factor + _shift(vae)


def zero_to_one(pixels: torch.Tensor) -> torch.Tensor:
    """Pixels of [-1, 1] in [0, 1], what is beyond it cut, and what is infinite NaN instead of white."""
    return (pixels * 0.5 + 0.5).clamp(0, 1).where(pixels.isfinite(), torch.nan)


def run_encode(vae: Any, count: int, side: int, dtype: torch.dtype) -> Any:
    """For the memory planner."""
    return vae.encode(torch.empty((count, 3, side, side), dtype=dtype, device="meta"))


def run_decode(vae: Any, count: int, side: int, dtype: torch.dtype) -> Any:
    """For the memory planner."""
    cells = side // scale(vae)
    return vae.decode(torch.empty((count, vae.config.latent_channels, cells, cells), dtype=dtype, device="meta"))


def _shift(vae: Any) -> float:
    return vae.config.get("shift_factor") or 0.0
