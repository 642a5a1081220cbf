"""FLUX.1: rectified flow over a transformer of 12 billion parameters, told by T5 and the sum of CLIP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_gui.errors import UserError
from lora_gui.families.base import Batch, Family, Load, whole
from lora_gui.families.flux_1.facts import FACTS

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from torch import nn

    from lora_gui.families.shared.token_limit import Reader
    from lora_gui.settings import DrawSettings, TrainSettings

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


@dataclass
class _Encoders:
    vae: Any
    tokenizers: tuple[Any, Any]
    text_encoders: tuple[Any, Any]  # CLIP and T5
    tokens: int  # of T5, for each caption


class Flux1(Family):
    facts = FACTS

    def require_learning(self, base: Path) -> None:
        from diffusers import FlowMatchEulerDiscreteScheduler

        if not FlowMatchEulerDiscreteScheduler.load_config(base / "scheduler").get("use_dynamic_shifting"):
            raise UserError(
                "This base is FLUX.1 schnell or made like it: it was distilled to draw in four steps and cannot learn.",
                "Train with FLUX.1 dev; its LoRAs can be drawn with here too.",
            )

    def encoders(
        self,
        base: Path,
        device: torch.device,
        dtype: torch.dtype,
        load: Load = whole,
        captions: bool = True,
        pictures: bool = True,
    ) -> _Encoders:
        from transformers import AutoTokenizer, CLIPTextModel, T5EncoderModel

        from lora_gui.families.shared import autoencoder, flux

        dtype = flux.without_fp16(dtype)
        kinds = {"text_encoder": CLIPTextModel, "text_encoder_2": T5EncoderModel}
        readers = [load(kind, base / name, device, dtype) if captions else None for name, kind in kinds.items()]
        return _Encoders(
            vae=autoencoder.load(base, device, dtype) if pictures else None,
            tokenizers=(
                AutoTokenizer.from_pretrained(base / "tokenizer"),
                AutoTokenizer.from_pretrained(base / "tokenizer_2"),
            ),
            text_encoders=(readers[0], readers[1]),
            tokens=_tokens(base),
        )

    def encode_pictures(self, encoders: _Encoders, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        from lora_gui.families.shared import autoencoder

        return autoencoder.encoded(encoders.vae, pixels)

    def encode_captions(self, encoders: _Encoders, captions: list[str]) -> dict[str, torch.Tensor]:
        """T5's last states (B, 512, 4096), without a mask, and CLIP's pooled one (B, 768)."""
        from lora_gui.families.shared.clip import token_ids

        clip, t5 = encoders.text_encoders
        ids = encoders.tokenizers[1](
            captions, padding="max_length", max_length=encoders.tokens, truncation=True, return_tensors="pt"
        ).input_ids
        return {
            "text": t5(ids.to(t5.device))[0],
            "pooled": clip(token_ids(encoders.tokenizers[0], captions, clip.device)).pooler_output,
        }

    def reader(self, base: Path) -> Reader:
        from lora_gui.families.shared import token_limit

        return token_limit.reader(base / "tokenizer_2", _tokens(base))

    def denoisers(
        self, base: Path, device: torch.device, dtype: torch.dtype, load: Load = whole
    ) -> dict[str, nn.Module]:
        from diffusers import FluxTransformer2DModel

        from lora_gui.families.shared.flux import without_fp16

        return {"transformer": load(FluxTransformer2DModel, base / "transformer", device, without_fp16(dtype))}

    def schedule(self, base: Path, device: torch.device) -> Any:
        from lora_gui.families.shared.flux import shift_of

        return shift_of(base)

    def targets(self, part: str, layers: str) -> str:
        return _TARGETS[layers]

    def loss(
        self,
        parts: dict[str, nn.Module],
        batch: Batch,
        schedule: Any,
        settings: TrainSettings,
        generator: torch.Generator,
    ) -> torch.Tensor:
        import torch

        from lora_gui.families.shared import flux, losses

        transformer: Any = parts["transformer"]
        mean = batch.pictures["mean"]
        latents = mean + batch.pictures["std"] * losses.normal(mean.shape, mean.device, generator)
        dtype = transformer.x_embedder.weight.dtype
        text = batch.captions["text"].to(dtype)
        guidance = torch.full((len(mean),), _TRAINED_GUIDANCE, device=mean.device)
        said = {
            "encoder_hidden_states": text,
            "pooled_projections": batch.captions["pooled"].to(dtype),
            "txt_ids": torch.zeros((text.shape[1], 3), device=mean.device),
            "guidance": guidance if transformer.config.guidance_embeds else None,
        }
        return flux.loss(transformer, flux.patches(latents), said, schedule, settings, generator)

    def pipeline(
        self, base: Path, device: torch.device, dtype: torch.dtype, parts: dict[str, nn.Module] | None = None
    ) -> Any:
        from diffusers import FluxPipeline

        from lora_gui.families.shared import autoencoder
        from lora_gui.families.shared.flux import without_fp16
        from lora_gui.families.shared.preview import colour_map, keep_flow_guess

        dtype = without_fp16(dtype)
        given: dict[str, Any] = {"vae": autoencoder.load(base, device, dtype)}
        if parts is not None:
            given |= {"text_encoder": None, "text_encoder_2": None, **parts}
        pipeline = FluxPipeline.from_pretrained(base, dtype=dtype, use_safetensors=True, **given).to(device)
        pipeline.set_progress_bar_config(disable=True)
        keep_flow_guess(pipeline.scheduler)
        pipeline.colours = colour_map(pipeline.vae)
        return pipeline

    def parts(self, pipeline: Any) -> dict[str, nn.Module]:
        return {"transformer": pipeline.transformer, "text_encoder": pipeline.text_encoder}

    def draw(
        self,
        pipeline: Any,
        settings: DrawSettings,
        seed: int,
        captions: dict[str, torch.Tensor] | None = None,
        progress: Callable[[int, Any], None] | None = None,
    ) -> Image.Image:
        """A negative prompt takes twice the time: only then is the base asked a second time in each step."""
        from lora_gui.families.shared import drawing, flux

        if captions is None:
            encoders = _Encoders(
                vae=pipeline.vae,
                tokenizers=(pipeline.tokenizer, pipeline.tokenizer_2),
                text_encoders=(pipeline.text_encoder, pipeline.text_encoder_2),
                tokens=_T5_TOKENS if pipeline.transformer.config.guidance_embeds else _T5_TOKENS_DISTILLED,
            )
            captions = drawing.encoded(self, encoders, settings)
        said: dict[str, Any] = {"prompt_embeds": captions["text"][:1], "pooled_prompt_embeds": captions["pooled"][:1]}
        if settings.negative_prompt:
            said |= {
                "negative_prompt_embeds": captions["text"][1:],
                "negative_pooled_prompt_embeds": captions["pooled"][1:],
                "true_cfg_scale": _TRUE_GUIDANCE,
            }
        return flux.draw(pipeline, settings, seed, progress, guidance_scale=settings.guidance, **said)

    def preview(self, pipeline: Any, latents: Any) -> Image.Image:
        from lora_gui.families.shared.autoencoder import raw
        from lora_gui.families.shared.flux import cells
        from lora_gui.families.shared.preview import picture

        return picture(raw(pipeline.vae, cells(latents))[0], pipeline.colours)


def _tokens(base: Path) -> int:
    """Of T5, for each caption: fewer where the base was distilled, which is when it is told no guidance."""
    from diffusers import FluxTransformer2DModel

    told = FluxTransformer2DModel.load_config(base / "transformer").get("guidance_embeds")
    return _T5_TOKENS if told else _T5_TOKENS_DISTILLED


FAMILY = Flux1()
