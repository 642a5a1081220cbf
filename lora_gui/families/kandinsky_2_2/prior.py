"""The prior of Kandinsky 2.2: captions and pictures as CLIP has them, its network, and how it imagines a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
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

from lora_gui.families.base import Conditions, Kit, Load, Stage, Tensors, whole
from lora_gui.families.shared import token_limit
from lora_gui.families.shared.latent import Config, empty
from lora_gui.settings import DrawSettings

_STEPS = 25  # the prior is quick, and more steps change little


@dataclass
class Encoders:
    """What encodes captions and pictures; None where it was not asked for."""

    tokenizer: Any
    text_encoder: Any
    zero_image: Any  # unconditional: the embedding of the zero image, the mean colour all over; (1, 1280)
    image_encoder: Any = None
    image_processor: Any = None
    movq: Any = None  # of the decoder


def encoders(
    base: Path,
    device: torch.device,
    dtype: torch.dtype,
    load: Load = whole,
    captions: bool = True,
    pictures: bool = True,
) -> Encoders:
    """The encoders of captions, of pictures, or both; without pictures the image encoder leaves memory at once."""
    folder = base / "prior"
    image_encoder = whole(CLIPVisionModelWithProjection, folder / "image_encoder", device, dtype)
    found = Encoders(CLIPTokenizer.from_pretrained(folder / "tokenizer"), None, None)
    if captions:
        side = image_encoder.config.image_size
        with torch.no_grad():
            found.zero_image = image_encoder(torch.zeros(1, 3, side, side, device=device, dtype=dtype)).image_embeds
    if pictures:
        found.image_encoder = image_encoder
        found.image_processor = CLIPImageProcessorPil.from_pretrained(folder / "image_processor")
    del image_encoder
    if captions:
        found.text_encoder = load(CLIPTextModelWithProjection, folder / "text_encoder", device, dtype)
    return found


def image_embeds(encoders: Encoders, pixels: torch.Tensor) -> torch.Tensor:
    """(B, 3, H, W) in [-1, 1] to the embedding of each picture, of its middle where it is not square; (B, 1280)."""
    image_encoder = encoders.image_encoder
    shown = ((pixels + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    looks = encoders.image_processor(list(shown), input_data_format="channels_last", return_tensors="pt")
    return image_encoder(looks.pixel_values.to(image_encoder.device, image_encoder.dtype)).image_embeds.float()


def text_embeds(encoders: Encoders, captions: list[str]) -> Tensors:
    """Each caption pooled (B, 1280) and token by token (B, 77, 1280), with a mask of the tokens it has."""
    device, rows = encoders.text_encoder.device, token_limit.rows(encoders.tokenizer, captions)
    states = encoders.text_encoder(rows.input_ids.to(device))
    return {
        "pooled": states.text_embeds,
        "text": states.last_hidden_state,
        "mask": rows.attention_mask.bool().to(device),
        "zero_image": encoders.zero_image.expand(len(captions), -1),
    }


def load(base: Path, device: torch.device, dtype: torch.dtype, load: Load) -> Any:
    """The prior. It cannot recompute, and with one embedding for a picture has next to nothing to gain by it."""
    return load(PriorTransformer, base / "prior" / "prior", device, dtype)


def scheduler(base: Path) -> Any:
    """The prior's own."""
    return UnCLIPScheduler.from_pretrained(base / "prior" / "scheduler")


def latents(prior: Any, embeds: torch.Tensor) -> torch.Tensor:
    """Embeddings of pictures (B, 1280) normalised as the prior denoises them; fp32."""
    return (embeds - prior.clip_mean.float()) / prior.clip_std.float()


def conditions(prior: Any, captions: Tensors) -> Conditions:
    """The conditions of captions."""
    device, dtype = prior.positional_embedding.device, prior.positional_embedding.dtype
    return {
        "pooled": captions["pooled"].to(device, dtype),
        "text": captions["text"].to(device, dtype),
        "mask": captions["mask"].to(device),
    }


def predict(prior: Any, noisy: torch.Tensor, timesteps: torch.Tensor, conditions: Conditions) -> torch.Tensor:
    """The embedding of the picture itself, (B, 1280)."""
    return prior(
        noisy.to(prior.positional_embedding.dtype),
        timestep=timesteps,
        proj_embedding=conditions["pooled"],
        encoder_hidden_states=conditions["text"],
        attention_mask=conditions["mask"],
    ).predicted_image_embedding


def inputs(config: Config, count: int, dtype: torch.dtype) -> tuple[torch.Tensor, Conditions]:
    """Of one call, for the planner."""
    width, tokens = config["embedding_dim"], config["num_embeddings"]
    return empty(count, width, dtype=dtype), {
        "pooled": empty(count, width, dtype=dtype),
        "text": empty(count, tokens, width, dtype=dtype),
        "mask": empty(count, tokens, dtype=torch.bool),
    }


def sample_embeds(
    kit: Kit,
    settings: DrawSettings,
    captions: Tensors,
    generator: torch.Generator,
    sample: Callable[[Stage], torch.Tensor],
) -> tuple[torch.Tensor, torch.Tensor]:
    """The embeddings of the wanted and the unwanted picture, each (1, 1280), as KandinskyV22PriorPipeline has them."""
    prior, scheduler = kit.parts["prior"], kit.schedulers["prior"]
    device, dtype = prior.positional_embedding.device, prior.positional_embedding.dtype
    wishes, guided = [0, 1] if settings.negative_prompt else [0], settings.guidance > 1
    rows = [1] * len(wishes) + wishes if guided else wishes
    shape = (len(wishes), prior.config.embedding_dim)
    noise = randn_tensor(shape, generator=generator, device=device, dtype=dtype)
    scheduler.set_timesteps(_STEPS, device=device)
    stage = Stage(
        predict=partial(predict, prior),
        scheduler=scheduler,
        timesteps=scheduler.timesteps,
        latents=noise,
        noising=kit.noising["prior"],
        conditions=(conditions(prior, {key: value[rows] for key, value in captions.items()}),),
        guide=partial(_guide, settings.guidance) if guided else None,
        guidance_end=settings.guidance_end,
        unguided=conditions(prior, {key: value[wishes] for key, value in captions.items()}),
        shown=False,
    )
    embeds = prior.post_process_latents(sample(stage))
    return embeds[:1], embeds[1:] if settings.negative_prompt else captions["zero_image"][:1].to(device, dtype)


def _guide(scale: float, unconditional: torch.Tensor, conditional: torch.Tensor) -> torch.Tensor:
    """Classifier-free guidance (Ho and Salimans 2022)."""
    return unconditional + scale * (conditional - unconditional)
