"""What the U-Nets of Stable Diffusion share: which layers learn, their noise and the loss of a step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import DDPMScheduler

from lora_gui.families.base import Batch
from lora_gui.families.shared import losses
from lora_gui.settings import TrainSettings

_ATTENTION = r"attn\d\.(to_q|to_k|to_v|to_out\.0)"
_LINEAR = rf"({_ATTENTION}|ff\.net\.0\.proj|ff\.net\.2|proj_in|proj_out)"
_CONVOLUTIONS = r"resnets\.\d+\.(conv1|conv2|conv_shortcut|time_emb_proj)|(down|up)samplers\.0\.conv"
TARGETS = {
    "attention": rf".*\.{_ATTENTION}",
    "linear": rf".*attentions\..*\.{_LINEAR}",
    "all": rf".*(attentions\..*\.{_LINEAR}|{_CONVOLUTIONS})",
}


def schedule(base: Path, device: torch.device) -> losses.NoiseSchedule:
    """How the base was noised, whichever scheduler it is drawn with."""
    scheduler = DDPMScheduler.from_pretrained(base / "scheduler")
    return losses.NoiseSchedule(scheduler.alphas_cumprod.to(device), scheduler.config.prediction_type)


def loss(
    batch: Batch,
    schedule: losses.NoiseSchedule,
    settings: TrainSettings,
    generator: torch.Generator,
    predict: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Loss of each picture; `predict` says from noisy latents and timesteps what the U-Net does; (B,) fp32."""
    mean = batch.pictures["mean"]
    latents = mean + batch.pictures["std"] * losses.normal(mean.shape, mean.device, generator)
    noise = losses.noise_like(latents, settings.noise_offset, generator)
    timesteps = losses.uniform_timesteps(len(latents), len(schedule.alphas_cumprod), mean.device, generator)
    noisy, target = schedule.noised(latents, noise, timesteps)
    error = losses.squared_error(predict(noisy, timesteps), target)
    if settings.min_snr_gamma:
        error = error * schedule.min_snr_weight(timesteps, settings.min_snr_gamma)
    return error
