"""Stable Diffusion 1.x, and the starter, which is a small base of the same build."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import CLIPTextModel

from lora_gui.families.base import Conditions, Tensors, TextLoad, whole
from lora_gui.families.shared import clip, unet
from lora_gui.families.shared.latent import Config, Encoders, dtype_of, empty
from lora_gui.families.stable_diffusion_1.facts import FACTS


class StableDiffusion1(unet.UNetFamily):
    facts = FACTS
    text_kinds = {"text_encoder": CLIPTextModel}
    text_loads = {"text_encoder": TextLoad(clip.TOKENS)}

    def text_encoders(self, base: Path, device: torch.device, dtype: torch.dtype) -> dict[str, nn.Module]:
        return {"text_encoder": whole(CLIPTextModel, base / "text_encoder", device, dtype)}

    def encode_captions(self, encoders: Encoders, captions: list[str]) -> Tensors:
        """Token ids (B, 77), and the last states (B, 77, 768)."""
        text_encoder = encoders.texts["text_encoder"]
        ids = clip.token_ids(encoders.tokenizers["text_encoder"], captions, text_encoder.device)
        return {"ids": ids, "text": text_encoder(ids)[0]}

    def embed(self, encoders: Encoders, ids: Tensors, weights: torch.Tensor, clip_skip: int) -> Tensors:
        states = clip.skipping(encoders.texts["text_encoder"], ids["text_encoder"], clip_skip)
        return {"text": clip.weighted(states, weights)}

    def reencode(self, parts: dict[str, Any], captions: Tensors) -> Tensors:
        if "text_encoder" not in parts:
            return captions
        return {"text": parts["text_encoder"](captions["ids"])[0]}

    def conditions_of(
        self, network: Any, captions: Tensors, sizes: list[tuple[int, int]], guidance: float | None = None
    ) -> Conditions:
        return {"text": captions["text"].to(dtype_of(network))}

    def predict(
        self, part: str, network: Any, noisy: torch.Tensor, timesteps: torch.Tensor, conditions: Conditions
    ) -> torch.Tensor:
        return network(noisy.to(dtype_of(network)), timesteps, conditions["text"]).sample

    def inputs(self, config: Config, count: int, side: int, dtype: torch.dtype) -> tuple[torch.Tensor, Conditions]:
        text = empty(count, clip.TOKENS, config["cross_attention_dim"], dtype=dtype)
        return unet.noisy(config, count, side, dtype), {"text": text}


FAMILY = StableDiffusion1()
