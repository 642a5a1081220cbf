"""One drawing with a pipeline of the kind that takes embedded text and leaves its latents to be decoded here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from PIL import Image

from lora_gui.families.base import Family
from lora_gui.families.shared import autoencoder
from lora_gui.settings import DrawSettings


@torch.no_grad()
def encoded(family: Family, encoders: Any, settings: DrawSettings) -> dict[str, torch.Tensor]:
    """What is wanted and what is not, each encoded by itself as a pipeline does; each tensor (2, ...)."""
    rows = [family.encode_captions(encoders, [caption]) for caption in (settings.prompt, settings.negative_prompt)]
    return {key: torch.cat([row[key] for row in rows]) for key in rows[0]}


@torch.no_grad()
def draw(
    pipeline: Any,
    settings: DrawSettings,
    seed: int,
    captions: dict[str, torch.Tensor],
    progress: Callable[[int, Any], None] | None,
) -> Image.Image:
    """Draw what `captions` say; each of them (2, ...), the prompt first and what is not wanted second."""

    def after_step(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if progress:
            progress(step + 1, pipe.scheduler.guess)
        return tensors

    latents = pipeline(
        prompt_embeds=captions["text"][:1],
        negative_prompt_embeds=captions["text"][1:],
        pooled_prompt_embeds=captions["pooled"][:1],
        negative_pooled_prompt_embeds=captions["pooled"][1:],
        width=settings.width,
        height=settings.height,
        num_inference_steps=settings.steps,
        guidance_scale=settings.guidance,
        generator=torch.Generator().manual_seed(seed),
        callback_on_step_end=after_step,
        output_type="latent",
    ).images
    pixels = autoencoder.decoded(pipeline.vae, latents)
    return pipeline.image_processor.postprocess(pixels, output_type="pil")[0]
