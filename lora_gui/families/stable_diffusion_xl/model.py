"""Stable Diffusion XL: two text encoders side by side, and a denoiser that is also told the picture's size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_gui.families.base import Batch, Family, Load, whole
from lora_gui.families.stable_diffusion_xl.facts import FACTS

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from torch import nn

    from lora_gui.families.shared.token_limit import Reader
    from lora_gui.settings import DrawSettings, TrainSettings

_TEXT_TARGETS = r".*self_attn\.(q_proj|k_proj|v_proj|out_proj)"


@dataclass
class _Encoders:
    vae: Any
    tokenizers: tuple[Any, Any]
    text_encoders: dict[str, nn.Module]
    empty_is_zero: bool  # whether no caption is all zeros, as when the base was trained, or the words of an empty text


class StableDiffusionXL(Family):
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
        from diffusers import StableDiffusionXLPipeline
        from transformers import CLIPTokenizer

        from lora_gui.families.shared import autoencoder

        tokenizers = [CLIPTokenizer.from_pretrained(base / folder) for folder in ("tokenizer", "tokenizer_2")]
        settings = StableDiffusionXLPipeline.load_config(base)
        return _Encoders(
            vae=autoencoder.load(base, device, dtype) if pictures else None,
            tokenizers=(tokenizers[0], tokenizers[1]),
            text_encoders=self.text_encoders(base, device, dtype, load) if captions else {},
            empty_is_zero=settings.get("force_zeros_for_empty_prompt", True),
        )

    def encode_pictures(self, encoders: _Encoders, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        from lora_gui.families.shared import autoencoder

        return autoencoder.encoded(encoders.vae, pixels)

    def encode_captions(self, encoders: _Encoders, captions: list[str]) -> dict[str, torch.Tensor]:
        import torch

        from lora_gui.families.shared import clip

        device = next(encoders.text_encoders["text_encoder"].parameters()).device
        said = [bool(caption) or not encoders.empty_is_zero for caption in captions]
        tokens = {
            "ids": clip.token_ids(encoders.tokenizers[0], captions, device),
            "ids_2": clip.token_ids(encoders.tokenizers[1], captions, device),
            "said": torch.tensor(said, device=device),
        }
        text, pooled = _embedded(encoders.text_encoders, tokens)
        return tokens | {"text": text, "pooled": pooled}

    def reader(self, base: Path) -> Reader:
        from lora_gui.families.shared import token_limit

        return token_limit.reader(base / "tokenizer")

    def denoisers(
        self, base: Path, device: torch.device, dtype: torch.dtype, load: Load = whole
    ) -> dict[str, nn.Module]:
        from diffusers import UNet2DConditionModel

        return {"unet": load(UNet2DConditionModel, base / "unet", device, dtype)}

    def text_encoders(
        self, base: Path, device: torch.device, dtype: torch.dtype, load: Load = whole
    ) -> dict[str, nn.Module]:
        from transformers import CLIPTextModel, CLIPTextModelWithProjection

        kinds = {"text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection}
        return {name: load(kind, base / name, device, dtype) for name, kind in kinds.items()}

    def schedule(self, base: Path, device: torch.device) -> Any:
        from lora_gui.families.shared import unet

        return unet.schedule(base, device)

    def targets(self, part: str, layers: str) -> str:
        from lora_gui.families.shared import unet

        return unet.TARGETS[layers] if part == "unet" else _TEXT_TARGETS

    def loss(
        self,
        parts: dict[str, nn.Module],
        batch: Batch,
        schedule: Any,
        settings: TrainSettings,
        generator: torch.Generator,
    ) -> torch.Tensor:
        import torch

        from lora_gui.families.shared import unet

        text, pooled = batch.captions["text"], batch.captions["pooled"]
        if "text_encoder" in parts:
            text, pooled = _embedded(parts, batch.captions)
        # original size, top left corner, size: what the pipeline says of a drawing of this size
        sizes = torch.tensor([[*size, 0, 0, *size] for size in batch.sizes], device=text.device)  # (B, 6)
        denoiser: Any = parts["unet"]
        dtype = denoiser.conv_in.weight.dtype
        extras = {"text_embeds": pooled.to(dtype), "time_ids": sizes}

        def predict(noisy: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
            return denoiser(noisy.to(dtype), timesteps, text.to(dtype), added_cond_kwargs=extras).sample

        return unet.loss(batch, schedule, settings, generator, predict)

    def pipeline(
        self, base: Path, device: torch.device, dtype: torch.dtype, parts: dict[str, nn.Module] | None = None
    ) -> Any:
        from diffusers import StableDiffusionXLPipeline

        from lora_gui.families.shared import autoencoder
        from lora_gui.families.shared.preview import colour_map, keep_guess

        given: dict[str, Any] = {"vae": autoencoder.load(base, device, dtype), "add_watermarker": False}
        if parts is not None:
            given |= {"text_encoder": None, "text_encoder_2": None, **parts}
        pipeline = StableDiffusionXLPipeline.from_pretrained(base, dtype=dtype, use_safetensors=True, **given)
        pipeline = pipeline.to(device)
        pipeline.set_progress_bar_config(disable=True)
        keep_guess(pipeline.scheduler)
        pipeline.colours = colour_map(pipeline.vae)
        return pipeline

    def parts(self, pipeline: Any) -> dict[str, nn.Module]:
        return {"unet": pipeline.unet} | _text_encoders_of(pipeline)

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
                tokenizers=(pipeline.tokenizer, pipeline.tokenizer_2),
                text_encoders=_text_encoders_of(pipeline),
                empty_is_zero=pipeline.config.force_zeros_for_empty_prompt,
            )
            captions = drawing.encoded(self, encoders, settings)
        return drawing.draw(pipeline, settings, seed, captions, progress)

    def preview(self, pipeline: Any, latents: Any) -> Image.Image:
        from lora_gui.families.shared.autoencoder import raw
        from lora_gui.families.shared.preview import picture

        return picture(raw(pipeline.vae, latents[0]), pipeline.colours)


def _text_encoders_of(pipeline: Any) -> dict[str, nn.Module]:
    return {"text_encoder": pipeline.text_encoder, "text_encoder_2": pipeline.text_encoder_2}


def _embedded(
    text_encoders: dict[str, nn.Module], tokens: dict[str, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """States of both encoders side by side (B, 77, 2048), and the second's pooled (B, 1280); zeros for no caption."""
    import torch

    from lora_gui.families.shared import clip

    first, _ = clip.states(text_encoders["text_encoder"], tokens["ids"])
    second, pooled = clip.states(text_encoders["text_encoder_2"], tokens["ids_2"])
    said = tokens["said"]
    return torch.cat([first, second], dim=-1) * said.view(-1, 1, 1), pooled * said.view(-1, 1)


FAMILY = StableDiffusionXL()
