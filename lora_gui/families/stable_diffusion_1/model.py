"""Stable Diffusion 1.x, and the starter, which is a small base of the same build."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_gui.families.base import Batch, Family, Load, whole
from lora_gui.families.stable_diffusion_1.facts import FACTS

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
    tokenizer: Any
    text_encoder: Any


class StableDiffusion1(Family):
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
        from transformers import CLIPTokenizer

        from lora_gui.families.shared import autoencoder

        return _Encoders(
            vae=autoencoder.load(base, device, dtype) if pictures else None,
            tokenizer=CLIPTokenizer.from_pretrained(base / "tokenizer"),
            text_encoder=self.text_encoders(base, device, dtype)["text_encoder"] if captions else None,
        )

    def encode_pictures(self, encoders: _Encoders, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        from lora_gui.families.shared import autoencoder

        return autoencoder.encoded(encoders.vae, pixels)

    def encode_captions(self, encoders: _Encoders, captions: list[str]) -> dict[str, torch.Tensor]:
        from lora_gui.families.shared import clip

        ids = clip.token_ids(encoders.tokenizer, captions, encoders.text_encoder.device)
        return {"ids": ids, "text": encoders.text_encoder(ids)[0]}

    def reader(self, base: Path) -> Reader:
        from lora_gui.families.shared import token_limit

        return token_limit.reader(base / "tokenizer")

    def denoisers(
        self, base: Path, device: torch.device, dtype: torch.dtype, load: Load = whole
    ) -> dict[str, nn.Module]:
        from diffusers import UNet2DConditionModel

        return {"unet": load(UNet2DConditionModel, base / "unet", device, dtype)}

    def text_encoders(self, base: Path, device: torch.device, dtype: torch.dtype) -> dict[str, nn.Module]:
        from transformers import CLIPTextModel

        text_encoder = CLIPTextModel.from_pretrained(base / "text_encoder", dtype=dtype, use_safetensors=True)
        return {"text_encoder": text_encoder.to(device).eval()}

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
        from lora_gui.families.shared import unet

        text = batch.captions["text"]
        if "text_encoder" in parts:
            text = parts["text_encoder"](batch.captions["ids"])[0]
        denoiser: Any = parts["unet"]
        dtype = denoiser.conv_in.weight.dtype

        def predict(noisy: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
            return denoiser(noisy.to(dtype), timesteps, text.to(dtype)).sample

        return unet.loss(batch, schedule, settings, generator, predict)

    def pipeline(
        self, base: Path, device: torch.device, dtype: torch.dtype, parts: dict[str, nn.Module] | None = None
    ) -> Any:
        from diffusers import StableDiffusionPipeline

        from lora_gui.families.shared.preview import colour_map, keep_guess

        given: dict[str, Any] = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        if parts is not None:
            given |= {"text_encoder": None, **parts}
        pipeline = StableDiffusionPipeline.from_pretrained(base, dtype=dtype, use_safetensors=True, **given)
        pipeline = pipeline.to(device)
        pipeline.set_progress_bar_config(disable=True)
        keep_guess(pipeline.scheduler)
        pipeline.colours = colour_map(pipeline.vae)
        return pipeline

    def parts(self, pipeline: Any) -> dict[str, nn.Module]:
        return {"unet": pipeline.unet, "text_encoder": pipeline.text_encoder}

    def draw(
        self,
        pipeline: Any,
        settings: DrawSettings,
        seed: int,
        captions: dict[str, torch.Tensor] | None = None,
        progress: Callable[[int, Any], None] | None = None,
    ) -> Image.Image:
        import torch

        text: dict[str, Any] = {"prompt": settings.prompt, "negative_prompt": settings.negative_prompt}
        if captions is not None:
            text = {"prompt_embeds": captions["text"][:1], "negative_prompt_embeds": captions["text"][1:]}

        def after_step(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            if progress:
                progress(step + 1, pipe.scheduler.guess)
            return tensors

        return pipeline(
            **text,
            width=settings.width,
            height=settings.height,
            num_inference_steps=settings.steps,
            guidance_scale=settings.guidance,
            generator=torch.Generator().manual_seed(seed),
            callback_on_step_end=after_step,
        ).images[0]

    def preview(self, pipeline: Any, latents: Any) -> Image.Image:
        from lora_gui.families.shared.autoencoder import raw
        from lora_gui.families.shared.preview import picture

        return picture(raw(pipeline.vae, latents[0]), pipeline.colours)


FAMILY = StableDiffusion1()
