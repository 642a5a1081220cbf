"""Stable Diffusion 3.5, medium and large: rectified flow over a transformer, told by two CLIP encoders and T5."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_gui.families.base import Batch, Family, Load, whole
from lora_gui.families.stable_diffusion_3.facts import FACTS

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from torch import nn

    from lora_gui.families.shared.token_limit import Reader
    from lora_gui.settings import DrawSettings, TrainSettings

_T5_TOKENS = 256  # as the pipeline draws; medium was not trained on more
_ATTENTION = r"to_q|to_k|to_v|to_out\.0|add_q_proj|add_k_proj|add_v_proj|to_add_out"
_LINEAR = rf"attn2?\.({_ATTENTION})|ff(_context)?\.net\.(0\.proj|2)"
_TARGETS = {
    "attention": rf".*\.attn\.({_ATTENTION})",
    "linear": rf"transformer_blocks\.\d+\.({_LINEAR})",
    "all": rf"transformer_blocks\.\d+\.({_LINEAR}|norm1(_context)?\.linear)",
}


@dataclass
class _Encoders:
    vae: Any
    tokenizers: tuple[Any, Any, Any]
    text_encoders: tuple[Any, Any, Any]  # the third is None where the base is used without T5
    width: int  # of a token's state


class StableDiffusion3(Family):
    facts = FACTS

    def encoders(
        self,
        base: Path,
        device: torch.device,
        dtype: torch.dtype,
        load: Load = whole,
        captions: bool = True,
        pictures: bool = True,
    ) -> _Encoders:
        from diffusers import SD3Transformer2DModel
        from transformers import AutoTokenizer, CLIPTextModelWithProjection, T5EncoderModel

        from lora_gui.families.shared import autoencoder

        kinds = {"": CLIPTextModelWithProjection, "_2": CLIPTextModelWithProjection, "_3": T5EncoderModel}
        tokenizers, text_encoders = [], []
        for suffix, kind in kinds.items():
            folder, here = base / f"text_encoder{suffix}", (base / f"text_encoder{suffix}").is_dir()
            tokenizers.append(AutoTokenizer.from_pretrained(base / f"tokenizer{suffix}") if here else None)
            text_encoders.append(load(kind, folder, device, dtype) if here and captions else None)
        return _Encoders(
            vae=autoencoder.load(base, device, dtype) if pictures else None,
            tokenizers=(tokenizers[0], tokenizers[1], tokenizers[2]),
            text_encoders=(text_encoders[0], text_encoders[1], text_encoders[2]),
            width=SD3Transformer2DModel.load_config(base / "transformer")["joint_attention_dim"],
        )

    def encode_pictures(self, encoders: _Encoders, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        from lora_gui.families.shared import autoencoder

        return autoencoder.encoded(encoders.vae, pixels)

    def encode_captions(self, encoders: _Encoders, captions: list[str]) -> dict[str, torch.Tensor]:
        import torch

        from lora_gui.families.shared import clip

        device = next(encoders.text_encoders[0].parameters()).device
        pairs = zip(encoders.tokenizers[:2], encoders.text_encoders[:2], strict=True)
        clips = [clip.states(encoder, clip.token_ids(tokenizer, captions, device)) for tokenizer, encoder in pairs]
        states = torch.cat([state for state, _ in clips], dim=-1)  # (B, 77, 768 + 1280)
        states = torch.nn.functional.pad(states, (0, encoders.width - states.shape[-1]))
        text = torch.cat([states, _t5_states(encoders, captions, states)], dim=1)  # (B, 77 + 256, 4096)
        return {"text": text, "pooled": torch.cat([pooled for _, pooled in clips], dim=-1)}

    def reader(self, base: Path) -> Reader:
        from lora_gui.families.shared import token_limit

        if (base / "text_encoder_3").is_dir():
            return token_limit.reader(base / "tokenizer_3", _T5_TOKENS)
        return token_limit.reader(base / "tokenizer")

    def denoisers(
        self, base: Path, device: torch.device, dtype: torch.dtype, load: Load = whole
    ) -> dict[str, nn.Module]:
        from diffusers import SD3Transformer2DModel

        return {"transformer": load(SD3Transformer2DModel, base / "transformer", device, dtype)}

    def schedule(self, base: Path, device: torch.device) -> float:
        """How far noise levels are moved to the noisy side; the scheduler's own table has this in it already."""
        from diffusers import FlowMatchEulerDiscreteScheduler

        return FlowMatchEulerDiscreteScheduler.load_config(base / "scheduler").get("shift", 1.0)

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
        """Plain flow loss, each noise level with weight 1."""
        from lora_gui.families.shared import losses

        transformer: Any = parts["transformer"]
        mean = batch.pictures["mean"]
        dtype = transformer.pos_embed.proj.weight.dtype
        latents = mean + batch.pictures["std"] * losses.normal(mean.shape, mean.device, generator)
        noise = losses.noise_like(latents, settings.noise_offset, generator)
        sigma = losses.flow_sigmas(len(latents), mean.device, generator, shift=schedule)
        noisy, target = losses.flow_noised(latents, noise, sigma)
        predicted = transformer(
            hidden_states=noisy.to(dtype),
            timestep=1000 * sigma,
            encoder_hidden_states=batch.captions["text"].to(dtype),
            pooled_projections=batch.captions["pooled"].to(dtype),
        ).sample
        return losses.squared_error(predicted, target)

    def pipeline(
        self, base: Path, device: torch.device, dtype: torch.dtype, parts: dict[str, nn.Module] | None = None
    ) -> Any:
        from diffusers import StableDiffusion3Pipeline

        from lora_gui.families.shared import autoencoder
        from lora_gui.families.shared.preview import colour_map, keep_flow_guess

        given: dict[str, Any] = {"vae": autoencoder.load(base, device, dtype)}
        if not (base / "text_encoder_3").is_dir():
            given |= {"text_encoder_3": None, "tokenizer_3": None}
        if parts is not None:
            given |= {"text_encoder": None, "text_encoder_2": None, "text_encoder_3": None, **parts}
        pipeline = StableDiffusion3Pipeline.from_pretrained(base, dtype=dtype, use_safetensors=True, **given).to(device)
        pipeline.set_progress_bar_config(disable=True)
        keep_flow_guess(pipeline.scheduler)
        pipeline.colours = colour_map(pipeline.vae)
        return pipeline

    def parts(self, pipeline: Any) -> dict[str, nn.Module]:
        return {name: getattr(pipeline, name) for name in ("transformer", "text_encoder", "text_encoder_2")}

    def draw(
        self,
        pipeline: Any,
        settings: DrawSettings,
        seed: int,
        captions: dict[str, torch.Tensor] | None = None,
        progress: Callable[[int, Any], None] | None = None,
    ) -> Image.Image:
        from lora_gui.families.shared import drawing

        if captions is None:
            encoders = _Encoders(
                vae=pipeline.vae,
                tokenizers=(pipeline.tokenizer, pipeline.tokenizer_2, pipeline.tokenizer_3),
                text_encoders=(pipeline.text_encoder, pipeline.text_encoder_2, pipeline.text_encoder_3),
                width=pipeline.transformer.config.joint_attention_dim,
            )
            captions = drawing.encoded(self, encoders, settings)
        return drawing.draw(pipeline, settings, seed, captions, progress)

    def preview(self, pipeline: Any, latents: Any) -> Image.Image:
        from lora_gui.families.shared.autoencoder import raw
        from lora_gui.families.shared.preview import picture

        return picture(raw(pipeline.vae, latents[0]), pipeline.colours)


def _t5_states(encoders: _Encoders, captions: list[str], like: torch.Tensor) -> torch.Tensor:
    """T5's last states (B, 256, width), on the device and in the numbers of `like`; zeros where there is no T5."""
    tokenizer, encoder = encoders.tokenizers[2], encoders.text_encoders[2]
    if encoder is None:
        return like.new_zeros((len(captions), _T5_TOKENS, encoders.width))
    ids = tokenizer(
        captions, padding="max_length", max_length=_T5_TOKENS, truncation=True, return_tensors="pt"
    ).input_ids
    return encoder(ids.to(like.device))[0].to(like.dtype)


FAMILY = StableDiffusion3()
