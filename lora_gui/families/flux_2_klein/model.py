"""FLUX.2 klein: rectified flow over a transformer of 4 or 9 billion parameters, told by the inner states of Qwen3."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_gui.errors import UserError
from lora_gui.families.base import Batch, Family, Load, whole
from lora_gui.families.flux_2_klein.facts import FACTS

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from torch import nn

    from lora_gui.families.shared.token_limit import Reader
    from lora_gui.settings import DrawSettings, TrainSettings

_TOKENS = 512
_MARK = "\N{CURRENCY SIGN}"  # stands for a caption where only what goes before it is of interest
_TEXT_LAYERS = (9, 18, 27)  # of Qwen3, whose states stand side by side; its later layers are not needed

_DOUBLE, _SINGLE = r"transformer_blocks\.\d+\.", r"single_transformer_blocks\.\d+\.attn\.(to_qkv_mlp_proj|to_out)"
_ATTENTION = r"to_q|to_k|to_v|to_out\.0"
_LINEAR = rf"attn\.({_ATTENTION}|add_q_proj|add_k_proj|add_v_proj|to_add_out)|ff(_context)?\.linear_(in|out)"
_TARGETS = {
    "attention": rf"{_DOUBLE}attn\.({_ATTENTION})|{_SINGLE}",
    "linear": rf"{_DOUBLE}({_LINEAR})|{_SINGLE}",
    "all": rf"{_DOUBLE}({_LINEAR})|{_SINGLE}|(double_stream_modulation_(img|txt)|single_stream_modulation)\.linear",
}


@dataclass
class _Encoders:
    vae: Any
    tokenizer: Any
    text_encoder: Any


class Flux2Klein(Family):
    facts = FACTS

    def require_learning(self, base: Path) -> None:
        from diffusers import Flux2KleinPipeline

        if Flux2KleinPipeline.load_config(base).get("is_distilled"):
            raise UserError(
                "This FLUX.2 klein was distilled to draw in four steps and cannot learn.",
                "Train with FLUX.2 klein base of the same size; its LoRAs can be drawn with here too.",
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
        from diffusers import AutoencoderKLFlux2
        from transformers import AutoTokenizer

        from lora_gui.families.shared.flux import without_fp16

        dtype = without_fp16(dtype)
        return _Encoders(
            vae=whole(AutoencoderKLFlux2, base / "vae", device, dtype) if pictures else None,
            tokenizer=AutoTokenizer.from_pretrained(base / "tokenizer"),
            text_encoder=_text_encoder(base, device, dtype, load) if captions else None,
        )

    def encode_pictures(self, encoders: _Encoders, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """The likeliest latents, patched and each channel brought to mean 0 and spread 1: (B, 128, h/16, w/16)."""
        from lora_gui.families.shared.flux import patches

        vae = encoders.vae
        latents = patches(vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist.mode().float())
        mean, spread = _statistics(vae)
        return {"latents": (latents - mean) / spread}

    def encode_captions(self, encoders: _Encoders, captions: list[str]) -> dict[str, torch.Tensor]:
        """The states of three layers side by side, (B, 512, 3 * width)."""
        import torch

        tokenizer, encoder = encoders.tokenizer, encoders.text_encoder
        asked = [_asked(tokenizer, caption) for caption in captions]
        rows = tokenizer(asked, padding="max_length", max_length=_TOKENS, truncation=True, return_tensors="pt")
        states = encoder(
            input_ids=rows.input_ids.to(encoder.device),
            attention_mask=rows.attention_mask.to(encoder.device),
            output_hidden_states=True,
            use_cache=False,
        ).hidden_states
        return {"text": torch.cat([states[layer] for layer in _TEXT_LAYERS], dim=-1)}

    def reader(self, base: Path) -> Reader:
        from transformers import AutoTokenizer

        from lora_gui.families.shared.token_limit import Reader

        tokenizer = AutoTokenizer.from_pretrained(base / "tokenizer")
        before = _asked(tokenizer, _MARK).partition(_MARK)[0]
        return Reader(tokenizer, _TOKENS - len(tokenizer(before).input_ids))

    def denoisers(
        self, base: Path, device: torch.device, dtype: torch.dtype, load: Load = whole
    ) -> dict[str, nn.Module]:
        from diffusers import Flux2Transformer2DModel

        from lora_gui.families.shared.flux import without_fp16

        return {"transformer": load(Flux2Transformer2DModel, base / "transformer", device, without_fp16(dtype))}

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

        from lora_gui.families.shared import flux

        transformer: Any = parts["transformer"]
        text = batch.captions["text"].to(transformer.x_embedder.weight.dtype)
        places = torch.zeros((text.shape[1], 4), device=text.device)
        places[:, 3] = torch.arange(text.shape[1], device=text.device)
        said = {"encoder_hidden_states": text, "txt_ids": places}
        return flux.loss(transformer, batch.pictures["latents"], said, schedule, settings, generator)

    def pipeline(
        self, base: Path, device: torch.device, dtype: torch.dtype, parts: dict[str, nn.Module] | None = None
    ) -> Any:
        from diffusers import Flux2KleinPipeline

        from lora_gui.families.shared.flux import without_fp16
        from lora_gui.families.shared.preview import colour_map, keep_flow_guess

        dtype = without_fp16(dtype)
        given: dict[str, Any] = {"text_encoder": None, **(parts or {})}
        if parts is None:
            given["text_encoder"] = _text_encoder(base, device, dtype, whole)
        pipeline = Flux2KleinPipeline.from_pretrained(base, dtype=dtype, use_safetensors=True, **given).to(device)
        pipeline.set_progress_bar_config(disable=True)
        keep_flow_guess(pipeline.scheduler)
        pipeline.colours = colour_map(pipeline.vae)
        return pipeline

    def parts(self, pipeline: Any) -> dict[str, nn.Module]:
        return {"transformer": pipeline.transformer}

    def draw(
        self,
        pipeline: Any,
        settings: DrawSettings,
        seed: int,
        captions: dict[str, torch.Tensor] | None = None,
        progress: Callable[[int, Any], None] | None = None,
    ) -> Image.Image:
        """A distilled base takes neither guidance nor a negative prompt."""
        from lora_gui.families.shared import drawing, flux

        if captions is None:
            encoders = _Encoders(pipeline.vae, pipeline.tokenizer, pipeline.text_encoder)
            captions = drawing.encoded(self, encoders, settings)
        return flux.draw(
            pipeline,
            settings,
            seed,
            progress,
            prompt_embeds=captions["text"][:1],
            negative_prompt_embeds=captions["text"][1:],
            guidance_scale=1.0 if pipeline.config.is_distilled else settings.guidance,
        )

    def preview(self, pipeline: Any, latents: Any) -> Image.Image:
        from lora_gui.families.shared.flux import cells
        from lora_gui.families.shared.preview import picture

        mean, spread = _statistics(pipeline.vae)
        return picture(cells(latents * spread + mean)[0], pipeline.colours)


def _asked(tokenizer: Any, caption: str) -> str:
    """A caption as the text encoder is given it: as what a person says in a conversation."""
    said = [{"role": "user", "content": caption}]
    return tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True, enable_thinking=False)


def _text_encoder(base: Path, device: torch.device, dtype: torch.dtype, load: Load) -> Any:
    """Qwen3 up to the last layer that is used: a quarter of it is never loaded."""
    from torch.nn import Identity
    from transformers import Qwen3Model

    class Used(Qwen3Model):
        @classmethod
        def from_pretrained(cls, folder: Path, **how: Any) -> Any:
            return Qwen3Model.from_pretrained(folder, num_hidden_layers=max(_TEXT_LAYERS), **how)

    encoder = load(Used, base / "text_encoder", device, dtype)
    encoder.norm = Identity()  # stands after the very last layer only
    return encoder


def _statistics(vae: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and spread of each channel of patched latents, both (1, C, 1, 1) fp32."""
    mean, variance = vae.bn.running_mean.float(), vae.bn.running_var.float()
    return mean.view(1, -1, 1, 1), (variance + vae.config.batch_norm_eps).sqrt().view(1, -1, 1, 1)


FAMILY = Flux2Klein()
