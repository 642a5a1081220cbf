"""Kandinsky 2.2: a prior that imagines a picture as one CLIP embedding, and a decoder that paints what was imagined."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_gui.families.base import Batch, Family, Load, whole
from lora_gui.families.kandinsky_2_2.facts import FACTS, QKV, RESNET, UNET_ATTENTION

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from torch import nn

    from lora_gui.families.kandinsky_2_2.prior import Encoders
    from lora_gui.families.shared.token_limit import Reader
    from lora_gui.settings import DrawSettings, TrainSettings

_TARGETS = {
    "prior": {
        "attention": rf"transformer_blocks\.\d+\.attn1\.({QKV})",
        "linear": rf"transformer_blocks\.\d+\.(attn1\.({QKV})|ff\.net\.0\.proj|ff\.net\.2)",
        "all": rf"transformer_blocks\.\d+\.(attn1\.({QKV})|ff\.net\.0\.proj|ff\.net\.2)",
    },
    "unet": {
        "attention": rf".*\.{UNET_ATTENTION}",
        "linear": rf".*\.({UNET_ATTENTION}|{RESNET}time_emb_proj)",
        "all": rf".*\.({UNET_ATTENTION}|{RESNET}(time_emb_proj|conv1|conv2|conv_shortcut))",
    },
}


class Kandinsky22(Family):
    """A base is the folder of the decoder's pipeline, with the folder of the prior's pipeline in it as `prior`.

    Both parts learn in every step. They share no weights and fit together in 4.6 GB of bf16; the prior costs a fifth
    of what the decoder does, and taking turns would let each see the pictures half as often. What memory needs is had
    by encoding everything first: the two CLIP encoders, larger than both parts, are gone by then.
    """

    facts = FACTS

    def encoders(
        self,
        base: Path,
        device: torch.device,
        dtype: torch.dtype,
        load: Load = whole,
        captions: bool = True,
        pictures: bool = True,
    ) -> Encoders:
        from diffusers import VQModel

        from lora_gui.families.kandinsky_2_2 import prior

        encoders = prior.encoders(base, device, dtype, load, captions, pictures)
        encoders.movq = whole(VQModel, base / "movq", device, dtype) if pictures else None
        return encoders

    def encode_pictures(self, encoders: Encoders, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Latents as they come, (B, 4, h, w), and the embedding of the whole picture, (B, 1280)."""
        from lora_gui.families.kandinsky_2_2 import prior

        movq = encoders.movq
        latents = movq.encode(pixels.to(movq.device, movq.dtype)).latents
        return {"latents": latents.float(), "embeds": prior.seen(encoders, pixels)}

    def encode_captions(self, encoders: Encoders, captions: list[str]) -> dict[str, torch.Tensor]:
        from lora_gui.families.kandinsky_2_2 import prior

        return prior.said(encoders, captions)

    def reader(self, base: Path) -> Reader:
        from lora_gui.families.shared import token_limit

        return token_limit.reader(base / "prior" / "tokenizer")

    def denoisers(
        self, base: Path, device: torch.device, dtype: torch.dtype, load: Load = whole
    ) -> dict[str, nn.Module]:
        from diffusers import UNet2DConditionModel

        from lora_gui.families.kandinsky_2_2 import prior

        prior = prior.load(base, device, dtype, load)
        return {"prior": prior, "unet": load(UNet2DConditionModel, base / "unet", device, dtype)}

    def schedule(self, base: Path, device: torch.device) -> Any:
        """The noise of each part by its name."""
        from lora_gui.families.kandinsky_2_2 import prior
        from lora_gui.families.shared import unet

        return {"prior": prior.schedule(base, device), "unet": unet.schedule(base, device)}

    def targets(self, part: str, layers: str) -> str:
        return _TARGETS[part][layers]

    def loss(
        self,
        parts: dict[str, nn.Module],
        batch: Batch,
        schedule: Any,
        settings: TrainSettings,
        generator: torch.Generator,
    ) -> torch.Tensor:
        """The sum of what each part gets wrong."""
        from lora_gui.families.kandinsky_2_2 import prior

        imagined = prior.loss(parts["prior"], batch, schedule["prior"], settings, generator)
        return imagined + _decoder_loss(parts["unet"], batch, schedule["unet"], settings, generator)

    def pipeline(
        self, base: Path, device: torch.device, dtype: torch.dtype, parts: dict[str, nn.Module] | None = None
    ) -> Any:
        from diffusers import KandinskyV22Pipeline

        from lora_gui.families.kandinsky_2_2 import prior
        from lora_gui.families.shared.preview import fitted, keep_guess

        encoders = None
        if parts is None:
            encoders = prior.encoders(base, device, dtype, pictures=False)
            parts = self.denoisers(base, device, dtype)
        pipeline = KandinskyV22Pipeline.from_pretrained(base, dtype=dtype, use_safetensors=True, unet=parts["unet"])
        pipeline = pipeline.to(device)
        pipeline.set_progress_bar_config(disable=True)
        keep_guess(pipeline.scheduler)
        pipeline.prior = prior.Prior(parts["prior"], prior.scheduler(base), encoders)
        pipeline.colours = fitted(lambda pixels: pipeline.movq.encode(pixels.to(device, dtype)).latents)
        return pipeline

    def parts(self, pipeline: Any) -> dict[str, nn.Module]:
        return {"prior": pipeline.prior.model, "unet": pipeline.unet}

    def draw(
        self,
        pipeline: Any,
        settings: DrawSettings,
        seed: int,
        captions: dict[str, torch.Tensor] | None = None,
        progress: Callable[[int, Any], None] | None = None,
    ) -> Image.Image:
        import torch

        from lora_gui.families.kandinsky_2_2 import prior
        from lora_gui.families.shared import drawing

        def after_step(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            if progress:
                progress(step + 1, pipe.scheduler.guess)
            return tensors

        captions = captions or drawing.encoded(self, pipeline.prior.encoders, settings)
        generator = torch.Generator().manual_seed(seed)
        wanted, unwanted = prior.imagined(pipeline.prior, captions, settings, generator)
        return pipeline(
            image_embeds=wanted,
            negative_image_embeds=unwanted,
            width=settings.width,
            height=settings.height,
            num_inference_steps=settings.steps,
            guidance_scale=settings.guidance,
            generator=generator,
            callback_on_step_end=after_step,
        ).images[0]

    def preview(self, pipeline: Any, latents: Any) -> Image.Image:
        from lora_gui.families.shared.preview import picture

        return picture(latents[0], pipeline.colours)


def _decoder_loss(unet: Any, batch: Batch, schedule: Any, settings: TrainSettings, generator: Any) -> torch.Tensor:
    """What the decoder gets wrong of the noise, told the true embedding, or nothing in the share of lost captions."""
    import torch

    from lora_gui.families.shared import losses

    dtype, latents = unet.conv_in.weight.dtype, batch.pictures["latents"]
    noise = losses.noise_like(latents, settings.noise_offset, generator)
    timesteps = losses.uniform_timesteps(len(latents), len(schedule.alphas_cumprod), latents.device, generator)
    noisy, target = schedule.noised(latents, noise, timesteps)
    told = torch.rand(len(latents), generator=generator, device=latents.device) >= settings.caption_dropout
    embeds = torch.where(told[:, None], batch.pictures["embeds"], batch.captions["nothing"].float())
    predicted = unet(noisy.to(dtype), timesteps, None, added_cond_kwargs={"image_embeds": embeds.to(dtype)}).sample
    predicted = predicted[:, : latents.shape[1]]  # the other half is the spread of the noise
    error = losses.squared_error(predicted, target)
    if settings.min_snr_gamma:
        error = error * schedule.min_snr_weight(timesteps, settings.min_snr_gamma)
    return error


FAMILY = Kandinsky22()
