"""FLUX.1: rectified flow over a transformer of 12 billion parameters, conditioned on T5 and pooled CLIP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import FluxTransformer2DModel
from transformers import CLIPTextModel, T5EncoderModel

from lora_gui.errors import UserError
from lora_gui.families.base import Conditions, Kit, Noising, Reader, Tensors, TextLoad
from lora_gui.families.flux_1.facts import FACTS
from lora_gui.families.shared import flow, flux, token_limit
from lora_gui.families.shared.clip import TOKENS, token_ids
from lora_gui.families.shared.latent import Config, Encoders, LatentFamily, dtype_of, empty
from lora_gui.families.shared.noising import RectifiedFlow
from lora_gui.settings import DrawSettings

_T5_TOKENS = 512
_T5_TOKENS_DISTILLED = 256  # what schnell was made with
_TRAINED_GUIDANCE = 1.0  # dev is told a guidance; at 1 it is to draw what it sees
_TRUE_GUIDANCE = 2.0  # away from a negative prompt, which the guidance that dev is told cannot do

_ATTENTION = r"to_q|to_k|to_v|to_out\.0|add_q_proj|add_k_proj|add_v_proj|to_add_out"
_DOUBLE = rf"transformer_blocks\.\d+\.(attn\.({_ATTENTION})|ff(_context)?\.net\.(0\.proj|2))"
_SINGLE = r"single_transformer_blocks\.\d+\."
_TARGETS = {
    "attention": rf"{_DOUBLE}|{_SINGLE}attn\.to_[qkv]",  # as all trainers understand it: with the double blocks' ff
    "linear": rf"{_DOUBLE}|{_SINGLE}(attn\.to_[qkv]|proj_mlp|proj_out)",
    "all": (
        rf"{_DOUBLE}|transformer_blocks\.\d+\.norm1(_context)?\.linear"
        rf"|{_SINGLE}(attn\.to_[qkv]|proj_mlp|proj_out|norm\.linear)"
    ),
}


class Flux1(LatentFamily):
    facts = FACTS
    part = "transformer"
    kind = FluxTransformer2DModel
    text_kinds = {"text_encoder": CLIPTextModel, "text_encoder_2": T5EncoderModel}
    text_loads = {"text_encoder": TextLoad(TOKENS), "text_encoder_2": TextLoad(_T5_TOKENS, hidden_states=False)}
    patch = 2
    stacked = 4
    branches_apart = True

    def computes_in(self, dtype: torch.dtype) -> torch.dtype:
        return flux.without_fp16(dtype)

    def require_learning(self, base: Path) -> None:
        super().require_learning(base)
        if not flow.config_of(base).get("use_dynamic_shifting"):
            raise UserError(
                "This base is FLUX.1 schnell or made like it: it was distilled to draw in four steps and cannot learn.",
                "Train with FLUX.1 dev; its LoRAs can be drawn with here too.",
            )

    def further(self, base: Path) -> dict[str, Any]:
        """How many tokens T5 reads of a caption."""
        return {"tokens": _tokens(base)}

    def targets(self, part: str, layers: str) -> str:
        return _TARGETS[layers]

    def encode_captions(self, encoders: Encoders, captions: list[str]) -> Tensors:
        """T5's last states (B, 512, 4096), without a mask, and CLIP's pooled one (B, 768)."""
        clip, t5 = encoders.texts["text_encoder"], encoders.texts["text_encoder_2"]
        rows = token_limit.rows(encoders.tokenizers["text_encoder_2"], captions, encoders.further["tokens"])
        return {
            "text": t5(rows.input_ids.to(t5.device))[0],
            "pooled": clip(token_ids(encoders.tokenizers["text_encoder"], captions, clip.device)).pooler_output,
        }

    def reader(self, base: Path) -> Reader:
        return token_limit.reader(base / "tokenizer_2", _tokens(base))

    def noising(self, base: Path, device: torch.device) -> dict[str, Noising]:
        return {self.part: RectifiedFlow(flow.Shift.of(flow.config_of(base)))}

    def timesteps(self, scheduler: Any, settings: DrawSettings, latents: torch.Tensor) -> torch.Tensor:
        return flow.set_timesteps(scheduler, settings.steps, latents)

    def is_guided(self, kit: Kit, settings: DrawSettings) -> bool:
        """A negative prompt takes twice the time: only then is the base asked a second time in each step."""
        return bool(settings.negative_prompt)

    def guide(
        self, kit: Kit, settings: DrawSettings, unconditional: torch.Tensor, conditional: torch.Tensor
    ) -> torch.Tensor:
        return unconditional + _TRUE_GUIDANCE * (conditional - unconditional)

    def conditions_of(
        self, network: Any, captions: Tensors, sizes: list[tuple[int, int]], guidance: float | None = None
    ) -> Conditions:
        dtype, text = dtype_of(network), captions["text"]
        height, width = (side // 16 for side in sizes[0])  # in tokens
        scale = _TRAINED_GUIDANCE if guidance is None else guidance
        conditions = {
            "text": text.to(dtype),
            "pooled": captions["pooled"].to(dtype),
            "txt_ids": torch.zeros((text.shape[1], 3), device=text.device),
            "img_ids": flux.position_ids(height, width, len(network.config.axes_dims_rope), text.device),
        }
        if network.config.guidance_embeds:
            conditions["guidance"] = torch.full((len(text),), scale, device=text.device)
        return conditions

    def predict(
        self, part: str, network: Any, noisy: torch.Tensor, timesteps: torch.Tensor, conditions: Conditions
    ) -> torch.Tensor:
        patched = flux.patches(noisy)
        predicted = network(
            hidden_states=flux.tokens(patched).to(dtype_of(network)),
            timestep=timesteps / 1000,
            encoder_hidden_states=conditions["text"],
            pooled_projections=conditions["pooled"],
            img_ids=conditions["img_ids"],
            txt_ids=conditions["txt_ids"],
            guidance=conditions.get("guidance"),
        ).sample
        return flux.cells(flux.untokened(predicted, *patched.shape[-2:]))

    def inputs(self, config: Config, count: int, side: int, dtype: torch.dtype) -> tuple[torch.Tensor, Conditions]:
        axes = len(config["axes_dims_rope"])
        conditions = {
            "text": empty(count, _T5_TOKENS, config["joint_attention_dim"], dtype=dtype),
            "pooled": empty(count, config["pooled_projection_dim"], dtype=dtype),
            "txt_ids": empty(_T5_TOKENS, axes),
            "img_ids": empty((side // 16) ** 2, axes),
        }
        if config.get("guidance_embeds"):
            conditions["guidance"] = empty(count)
        return empty(count, config["in_channels"] // 4, side // 8, side // 8, dtype=dtype), conditions


def _tokens(base: Path) -> int:
    """Of T5, for each caption: fewer where the base was distilled, which is when it is told no guidance."""
    told = FluxTransformer2DModel.load_config(base / "transformer").get("guidance_embeds")
    return _T5_TOKENS if told else _T5_TOKENS_DISTILLED


FAMILY = Flux1()
