"""The prior of Kandinsky 2.2: captions and pictures as CLIP has them, its loss, and how it imagines a picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import PriorTransformer, UnCLIPScheduler
from diffusers.utils.torch_utils import randn_tensor
from transformers import (
    CLIPImageProcessorPil,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionModelWithProjection,
)

from lora_gui.families.base import Batch, Load, whole
from lora_gui.families.shared import losses
from lora_gui.settings import DrawSettings, TrainSettings

_STEPS = 25  # the prior is quick, and more steps change little


@dataclass
class Encoders:
    tokenizer: Any
    text_encoder: Any
    nothing: Any  # the embedding of a grey picture, which stands for no wish at all; (1, 1280)
    image_encoder: Any = None
    image_processor: Any = None
    movq: Any = None  # of the decoder


@dataclass
class Prior:
    """What goes before the decoder's pipeline; `encoders` are None where captions come encoded."""

    model: Any
    scheduler: Any
    encoders: Encoders | None


def encoders(
    base: Path,
    device: torch.device,
    dtype: torch.dtype,
    load: Load = whole,
    captions: bool = True,
    pictures: bool = True,
) -> Encoders:
    """What reads captions, what looks at pictures, or both; without pictures the latter leaves memory at once."""
    folder = base / "prior"
    eye = whole(CLIPVisionModelWithProjection, folder / "image_encoder", device, dtype)
    found = Encoders(CLIPTokenizer.from_pretrained(folder / "tokenizer"), None, None)
    if captions:
        side = eye.config.image_size
        with torch.no_grad():
            found.nothing = eye(torch.zeros(1, 3, side, side, device=device, dtype=dtype)).image_embeds
    if pictures:
        found.image_encoder = eye
        found.image_processor = CLIPImageProcessorPil.from_pretrained(folder / "image_processor")
    del eye
    if captions:
        found.text_encoder = load(CLIPTextModelWithProjection, folder / "text_encoder", device, dtype)
    return found


def seen(encoders: Encoders, pixels: torch.Tensor) -> torch.Tensor:
    """(B, 3, H, W) in [-1, 1] to the embedding of each picture, of its middle where it is not square; (B, 1280)."""
    eye = encoders.image_encoder
    shown = ((pixels + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    looks = encoders.image_processor(list(shown), input_data_format="channels_last", return_tensors="pt")
    return eye(looks.pixel_values.to(eye.device, eye.dtype)).image_embeds.float()


def said(encoders: Encoders, captions: list[str]) -> dict[str, torch.Tensor]:
    """Each caption as one vector (B, 1280) and token by token (B, 77, 1280), with a mask of the tokens it has."""
    tokenizer, device = encoders.tokenizer, encoders.text_encoder.device
    length = tokenizer.model_max_length
    rows = tokenizer(captions, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    states = encoders.text_encoder(rows.input_ids.to(device))
    return {
        "pooled": states.text_embeds,
        "text": states.last_hidden_state,
        "mask": rows.attention_mask.bool().to(device),
        "nothing": encoders.nothing.expand(len(captions), -1),
    }


def load(base: Path, device: torch.device, dtype: torch.dtype, load: Load) -> Any:
    """The prior. It cannot recompute, and with one embedding for a picture has next to nothing to gain by it."""
    prior = load(PriorTransformer, base / "prior" / "prior", device, dtype)
    prior.enable_gradient_checkpointing = lambda: None
    return prior


def scheduler(base: Path) -> Any:
    return UnCLIPScheduler.from_pretrained(base / "prior" / "scheduler")


def schedule(base: Path, device: torch.device) -> losses.NoiseSchedule:
    """How the prior was noised; it predicts the embedding itself."""
    found = scheduler(base)
    return losses.NoiseSchedule(found.alphas_cumprod.to(device), found.config.prediction_type)


def loss(
    prior: Any, batch: Batch, schedule: losses.NoiseSchedule, settings: TrainSettings, generator: torch.Generator
) -> torch.Tensor:
    """How far the embedding that is imagined from a caption is from the picture's own; (B,) fp32."""
    dtype, captions = prior.positional_embedding.dtype, batch.captions
    embeds = (batch.pictures["embeds"] - prior.clip_mean.float()) / prior.clip_std.float()
    noise = losses.normal(embeds.shape, embeds.device, generator)
    timesteps = losses.uniform_timesteps(len(embeds), len(schedule.alphas_cumprod), embeds.device, generator)
    noisy, target = schedule.noised(embeds, noise, timesteps)
    predicted = prior(
        noisy.to(dtype),
        timestep=timesteps,
        proj_embedding=captions["pooled"].to(dtype),
        encoder_hidden_states=captions["text"].to(dtype),
        attention_mask=captions["mask"],
    ).predicted_image_embedding
    error = losses.squared_error(predicted, target)
    if settings.min_snr_gamma:
        error = error * schedule.min_snr_weight(timesteps, settings.min_snr_gamma)
    return error


@torch.no_grad()
def imagined(
    prior: Prior, captions: dict[str, torch.Tensor], settings: DrawSettings, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """The embeddings of the wanted and the unwanted picture, each (1, 1280), as KandinskyV22PriorPipeline has them."""
    model, scheduler = prior.model, prior.scheduler
    device, dtype = model.positional_embedding.device, model.positional_embedding.dtype
    wishes, guided = [0, 1] if settings.negative_prompt else [0], settings.guidance > 1
    rows = [1] * len(wishes) + wishes if guided else wishes
    told = {
        "proj_embedding": captions["pooled"][rows].to(device, dtype),
        "encoder_hidden_states": captions["text"][rows].to(device, dtype),
        "attention_mask": captions["mask"][rows].to(device),
    }
    latents = randn_tensor((len(wishes), model.config.embedding_dim), generator=generator, device=device, dtype=dtype)
    scheduler.set_timesteps(_STEPS, device=device)
    for timestep, after in zip(scheduler.timesteps, [*scheduler.timesteps[1:], None], strict=True):
        noisy = torch.cat([latents] * (len(rows) // len(wishes)))
        predicted = model(noisy, timestep=timestep, **told).predicted_image_embedding
        if guided:
            without, predicted = predicted.chunk(2)
            predicted = without + settings.guidance * (predicted - without)
        latents = scheduler.step(predicted, timestep, latents, prev_timestep=after, generator=generator).prev_sample
    embeds = model.post_process_latents(latents)
    return embeds[:1], embeds[1:] if settings.negative_prompt else captions["nothing"][:1].to(device, dtype)
