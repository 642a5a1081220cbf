"""Stable Diffusion XL: two text encoders side by side, and a denoiser that is also told the picture's size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionXLPipeline
from torch import nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from lora_gui.families.base import Batch, Conditions, Tensors, TextLoad, whole
from lora_gui.families.shared import clip, unet
from lora_gui.families.shared.latent import Config, Encoders, dtype_of, empty
from lora_gui.families.stable_diffusion_xl.facts import FACTS
from lora_gui.settings import TrainSettings

_SIZES = 6  # numbers that say how large a picture is


class StableDiffusionXL(unet.UNetFamily):
    facts = FACTS
    text_kinds = {"text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection}
    text_loads = {"text_encoder": TextLoad(clip.TOKENS), "text_encoder_2": TextLoad(clip.TOKENS)}

    def text_encoders(self, base: Path, device: torch.device, dtype: torch.dtype) -> dict[str, nn.Module]:
        return {name: whole(kind, base / name, device, dtype) for name, kind in self.text_kinds.items()}

    def further(self, base: Path) -> dict[str, Any]:
        """Whether no caption is all zeros, as when the base was trained, or the words of an empty text."""
        settings = StableDiffusionXLPipeline.load_config(base)
        return {"empty_is_zero": settings.get("force_zeros_for_empty_prompt", True)}

    def encode_captions(self, encoders: Encoders, captions: list[str]) -> Tensors:
        """Token ids of both, whether there are any words, and what `_embedded` makes of them."""
        device = encoders.texts["text_encoder"].device
        said = [bool(caption) or not encoders.further["empty_is_zero"] for caption in captions]
        tokens = {
            "ids": clip.token_ids(encoders.tokenizers["text_encoder"], captions, device),
            "ids_2": clip.token_ids(encoders.tokenizers["text_encoder_2"], captions, device),
            "said": torch.tensor(said, device=device),
        }
        return tokens | _embedded(encoders.texts, tokens)

    def embed(self, encoders: Encoders, ids: Tensors, weights: torch.Tensor, clip_skip: int) -> Tensors:
        """It was trained with the states before the last layer, so that `clip_skip` has nothing to say."""
        both = {"ids": ids["text_encoder"], "ids_2": ids["text_encoder_2"], "said": ids["text_encoder"].new_ones(1)}
        return _embedded(encoders.texts, both, weights)

    def reencode(self, parts: dict[str, Any], captions: Tensors) -> Tensors:
        return _embedded(parts, captions) if "text_encoder" in parts else captions

    def conditions_of(
        self, network: Any, captions: Tensors, sizes: list[tuple[int, int]], guidance: float | None = None
    ) -> Conditions:
        """Besides the text: original size, top left corner and size, as the pipeline says of a drawing of this size."""
        dtype = dtype_of(network)
        return {
            "text": captions["text"].to(dtype),
            "pooled": captions["pooled"].to(dtype),
            "sizes": _told([(*size, 0, 0, *size) for size in sizes], captions["text"].device),
        }

    def conditions(
        self, part: str, parts: dict[str, Any], batch: Batch, settings: TrainSettings, generator: torch.Generator
    ) -> Conditions:
        """A picture's own size, and where it was cropped, so that a drawing told neither is sharp and whole.

        As diffusers' train_text_to_image_lora_sdxl.py tells it; Podell et al. 2023, section 2.2.
        """
        found = super().conditions(part, parts, batch, settings, generator)
        rows = [(*one.original[::-1], *one.corner[::-1], *one.bucket[::-1]) for one in batch.framings]
        return found | {"sizes": _told(rows, found["text"].device)}

    def predict(
        self, part: str, network: Any, noisy: torch.Tensor, timesteps: torch.Tensor, conditions: Conditions
    ) -> torch.Tensor:
        added = {"text_embeds": conditions["pooled"], "time_ids": conditions["sizes"]}
        return network(noisy.to(dtype_of(network)), timesteps, conditions["text"], added_cond_kwargs=added).sample

    def inputs(self, config: Config, count: int, side: int, dtype: torch.dtype) -> tuple[torch.Tensor, Conditions]:
        pooled = config["projection_class_embeddings_input_dim"] - _SIZES * config["addition_time_embed_dim"]
        return unet.noisy(config, count, side, dtype), {
            "text": empty(count, clip.TOKENS, config["cross_attention_dim"], dtype=dtype),
            "pooled": empty(count, pooled, dtype=dtype),
            "sizes": empty(count, _SIZES),
        }


def _told(rows: Sequence[tuple[int, ...]], device: torch.device) -> torch.Tensor:
    """Height and width of the original, top and left of what stays of it, height and width of that; (B, 6)."""
    return torch.tensor(rows).to(device, non_blocking=True)


def _embedded(text_encoders: dict[str, Any], tokens: Tensors, weights: torch.Tensor | None = None) -> Tensors:
    """States of both encoders side by side (B, 77, 2048), and the second's pooled (B, 1280); zeros for no caption."""
    first, _ = clip.states(text_encoders["text_encoder"], tokens["ids"])
    second, pooled = clip.states(text_encoders["text_encoder_2"], tokens["ids_2"])
    first, second = clip.weighted(first, weights), clip.weighted(second, weights)
    said = tokens["said"].to(first.device)  # single numbers of a batch stay with the host
    return {"text": torch.cat([first, second], dim=-1) * said.view(-1, 1, 1), "pooled": pooled * said.view(-1, 1)}


FAMILY = StableDiffusionXL()
