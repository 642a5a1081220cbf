"""Pictures to latents and back with a KL autoencoder; never in fp16, in which some of them overflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL


def load(base: Path, device: torch.device, dtype: torch.dtype) -> Any:
    """The autoencoder of a base, in `dtype` or, where that is fp16, in fp32."""
    wide = torch.float32 if dtype == torch.float16 else dtype
    return AutoencoderKL.from_pretrained(base / "vae", dtype=wide, use_safetensors=True).to(device).eval()


def encoded(vae: Any, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
    """(B, 3, H, W) in [-1, 1] to mean and spread of the latents as the denoiser takes them, each (B, C, h, w) fp32."""
    spread = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist
    shift, scale = _shift(vae), vae.config.scaling_factor
    return {"mean": (spread.mean.float() - shift) * scale, "std": spread.std.float() * scale}


def decoded(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """The opposite of `encoded`: latents (B, C, h, w) of the denoiser to pixels (B, 3, H, W) in [-1, 1]."""
    return vae.decode(raw(vae, latents).to(vae.dtype)).sample


def raw(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """Latents as the autoencoder itself has them."""
    return latents / vae.config.scaling_factor + _shift(vae)


def _shift(vae: Any) -> float:
    return vae.config.get("shift_factor") or 0.0
