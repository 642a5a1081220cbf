"""Stable Diffusion 3.5, medium and large: rectified flow over a transformer, conditioned on CLIP (twice) and T5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import SD3Transformer2DModel
from transformers import CLIPTextModelWithProjection, T5EncoderModel

from lora_gui.families.base import Conditions, Noising, Reader, Tensors, TextLoad
from lora_gui.families.shared import clip, flow, token_limit
from lora_gui.families.shared.latent import Config, Encoders, LatentFamily, dtype_of, empty
from lora_gui.families.shared.noising import RectifiedFlow
from lora_gui.families.stable_diffusion_3.facts import FACTS
from lora_gui.settings import DrawSettings

_T5_TOKENS = 256  # as the pipeline draws; medium was not trained on more
_ATTENTION = r"to_q|to_k|to_v|to_out\.0|add_q_proj|add_k_proj|add_v_proj|to_add_out"
_LINEAR = rf"attn2?\.({_ATTENTION})|ff(_context)?\.net\.(0\.proj|2)"
_TARGETS = {
    "attention": rf".*\.attn\.({_ATTENTION})",
    "linear": rf"transformer_blocks\.\d+\.({_LINEAR})",
    "all": rf"transformer_blocks\.\d+\.({_LINEAR}|norm1(_context)?\.linear)",
}


class StableDiffusion3(LatentFamily):
    facts = FACTS
    part = "transformer"
    kind = SD3Transformer2DModel
    text_kinds = {
        "text_encoder": CLIPTextModelWithProjection,
        "text_encoder_2": CLIPTextModelWithProjection,
        "text_encoder_3": T5EncoderModel,
    }
    text_loads = {
        "text_encoder": TextLoad(clip.TOKENS),
        "text_encoder_2": TextLoad(clip.TOKENS),
        "text_encoder_3": TextLoad(_T5_TOKENS, hidden_states=False),
    }
    patch = 2

    def further(self, base: Path) -> dict[str, Any]:
        """The width of a token's state."""
        return {"width": SD3Transformer2DModel.load_config(base / "transformer")["joint_attention_dim"]}

    def targets(self, part: str, layers: str) -> str:
        return _TARGETS[layers]

    def encode_captions(self, encoders: Encoders, captions: list[str]) -> Tensors:
        """States of both CLIP encoders, then of T5 (B, 77 + 256, 4096), and the pooled ones of CLIP (B, 768 + 1280)."""
        clips = []
        for name in ("text_encoder", "text_encoder_2"):
            encoder = encoders.texts[name]
            clips.append(clip.states(encoder, clip.token_ids(encoders.tokenizers[name], captions, encoder.device)))
        states = torch.cat([state for state, _ in clips], dim=-1)  # (B, 77, 768 + 1280)
        states = torch.nn.functional.pad(states, (0, encoders.further["width"] - states.shape[-1]))
        text = torch.cat([states, _t5_states(encoders, captions, states)], dim=1)
        return {"text": text, "pooled": torch.cat([pooled for _, pooled in clips], dim=-1)}

    def reader(self, base: Path) -> Reader:
        if (base / "text_encoder_3").is_dir():
            return token_limit.reader(base / "tokenizer_3", _T5_TOKENS)
        return token_limit.reader(base / "tokenizer")

    def noising(self, base: Path, device: torch.device) -> dict[str, Noising]:
        return {self.part: RectifiedFlow(flow.static_shift(base))}

    def timesteps(self, scheduler: Any, settings: DrawSettings, latents: torch.Tensor) -> torch.Tensor:
        return flow.set_timesteps(scheduler, settings.steps, latents, even=False)

    def conditions_of(
        self, network: Any, captions: Tensors, sizes: list[tuple[int, int]], guidance: float | None = None
    ) -> Conditions:
        dtype = dtype_of(network)
        return {"text": captions["text"].to(dtype), "pooled": captions["pooled"].to(dtype)}

    def predict(
        self, part: str, network: Any, noisy: torch.Tensor, timesteps: torch.Tensor, conditions: Conditions
    ) -> torch.Tensor:
        return network(
            hidden_states=noisy.to(dtype_of(network)),
            timestep=timesteps,
            encoder_hidden_states=conditions["text"],
            pooled_projections=conditions["pooled"],
        ).sample

    def inputs(self, config: Config, count: int, side: int, dtype: torch.dtype) -> tuple[torch.Tensor, Conditions]:
        return empty(count, config["in_channels"], side // 8, side // 8, dtype=dtype), {
            "text": empty(count, clip.TOKENS + _T5_TOKENS, config["joint_attention_dim"], dtype=dtype),
            "pooled": empty(count, config["pooled_projection_dim"], dtype=dtype),
        }


def _t5_states(encoders: Encoders, captions: list[str], like: torch.Tensor) -> torch.Tensor:
    """T5's last states (B, 256, width), on the device and in the numbers of `like`; zeros where there is no T5."""
    if "text_encoder_3" not in encoders.texts:
        return like.new_zeros((len(captions), _T5_TOKENS, encoders.further["width"]))
    tokenizer, encoder = encoders.tokenizers["text_encoder_3"], encoders.texts["text_encoder_3"]
    ids = token_limit.rows(tokenizer, captions, _T5_TOKENS).input_ids
    return encoder(ids.to(like.device))[0].to(like.dtype)


FAMILY = StableDiffusion3()
