"""Kandinsky 2.2: a prior that imagines a picture as one CLIP embedding, and a decoder that paints what was imagined."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMScheduler, UNet2DConditionModel, VQModel
from PIL import Image
from torch import nn

from lora_gui.families.base import (
    Batch,
    Conditions,
    Family,
    Kit,
    Load,
    Noising,
    Over,
    Reader,
    Stage,
    Tensors,
    TextLoad,
    Workload,
    whole,
)
from lora_gui.families.kandinsky_2_2 import prior
from lora_gui.families.kandinsky_2_2.facts import FACTS, QKV, RESNET, UNET_ATTENTION
from lora_gui.families.shared import autoencoder, preview, schedulers, token_limit
from lora_gui.families.shared.clip import TOKENS
from lora_gui.families.shared.latent import Config, dtype_of, empty, require_channels
from lora_gui.families.shared.noising import Diffusion, first_noise, uniform
from lora_gui.families.shared.over import begun
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
_CELL = 8  # px of a cell of the latents
_STEP = 64  # px; a drawing is as large as the next multiple


class Kandinsky22(Family):
    """A base is the folder of the decoder's pipeline, with the folder of the prior's pipeline in it as `prior`.

    Both parts learn in every step. They share no weights and fit together in 4.6 GB of bf16; the prior costs a fifth
    of what the decoder does, and taking turns would let each see the pictures half as often. What memory needs is had
    by encoding everything first: the two CLIP encoders, larger than both parts, are gone by then.
    """

    facts = FACTS

    def require_fitting(self, base: Path) -> None:
        require_channels(UNet2DConditionModel.load_config(base / "unet"), VQModel.load_config(base / "movq"))

    def targets(self, part: str, layers: str) -> str:
        return _TARGETS[part][layers]

    def encoders(
        self,
        base: Path,
        device: torch.device,
        dtype: torch.dtype,
        load: Load = whole,
        captions: bool = True,
        pictures: bool = True,
    ) -> prior.Encoders:
        encoders = prior.encoders(base, device, dtype, load, captions, pictures)
        encoders.movq = whole(VQModel, base / "movq", device, torch.float32) if pictures else None
        return encoders

    def encode_pictures(self, encoders: prior.Encoders, pixels: torch.Tensor) -> Tensors:
        """Latents as they come, (B, 4, h, w), and the embedding of the whole picture, (B, 1280)."""
        movq = encoders.movq
        latents = movq.encode(pixels.to(movq.device, movq.dtype)).latents
        return {"latents": latents.float(), "embeds": prior.image_embeds(encoders, pixels)}

    def encode_captions(self, encoders: prior.Encoders, captions: list[str]) -> Tensors:
        return prior.text_embeds(encoders, captions)

    def reader(self, base: Path) -> Reader:
        return token_limit.reader(base / "prior" / "tokenizer")

    def denoisers(
        self, base: Path, device: torch.device, dtype: torch.dtype, load: Load = whole
    ) -> dict[str, nn.Module]:
        self.require_fitting(base)
        return {
            "prior": prior.load(base, device, dtype, load),
            "unet": load(UNet2DConditionModel, base / "unet", device, dtype),
        }

    def kit(
        self, base: Path, device: torch.device, dtype: torch.dtype, parts: dict[str, nn.Module] | None = None
    ) -> Kit:
        encoders = None
        if parts is None:
            encoders = self.encoders(base, device, dtype, pictures=False)
            parts = self.denoisers(base, device, dtype)
        movq = whole(VQModel, base / "movq", device, dtype)
        return Kit(
            parts=parts,
            encoders=encoders,
            vae=movq,
            schedulers={"prior": prior.scheduler(base), "unet": schedulers.scheduler_of(base)},
            noising=self.noising(base, device),
            colours=cache(lambda: preview.fitted(lambda pixels: movq.encode(pixels.to(device, dtype)).latents)),
        )

    def noising(self, base: Path, device: torch.device) -> dict[str, Noising]:
        decoder = DDPMScheduler.from_pretrained(base / "scheduler")
        return {"prior": Diffusion.of(prior.scheduler(base), device), "unet": Diffusion.of(decoder, device)}

    def latents(self, part: str, network: Any, batch: Batch, generator: torch.Generator) -> torch.Tensor:
        return prior.latents(network, batch.pictures["embeds"]) if part == "prior" else batch.pictures["latents"]

    def conditions(
        self, part: str, parts: dict[str, Any], batch: Batch, settings: TrainSettings, generator: torch.Generator
    ) -> Conditions:
        """The decoder is told a picture's own embedding, or the unconditional one in the share of lost captions."""
        if part == "prior":
            return prior.conditions(parts[part], batch.captions)
        embeds = batch.pictures["embeds"]
        kept = uniform(len(embeds), embeds.device, generator) >= settings.caption_dropout
        embeds = torch.where(kept[:, None], embeds, batch.captions["zero_image"].float())
        return {"embeds": embeds.to(dtype_of(parts[part]))}

    def predict(
        self, part: str, network: Any, noisy: torch.Tensor, timesteps: torch.Tensor, conditions: Conditions
    ) -> torch.Tensor:
        """The decoder's other half of channels is the learned variance."""
        if part == "prior":
            return prior.predict(network, noisy, timesteps, conditions)
        added = {"image_embeds": conditions["embeds"]}
        return network(noisy.to(dtype_of(network)), timesteps, None, added_cond_kwargs=added).sample

    def draw(
        self,
        kit: Kit,
        settings: DrawSettings,
        captions: Tensors,
        generator: torch.Generator,
        sample: Callable[[Stage], torch.Tensor],
        over: Over | None = None,
    ) -> torch.Tensor:
        wanted, unwanted = prior.sample_embeds(kit, settings, captions, generator, sample)
        unet, scheduler = kit.parts["unet"], kit.schedulers["unet"]
        guided, dtype = settings.guidance > 1, dtype_of(unet)
        timesteps = schedulers.set_timesteps(scheduler, settings.steps, wanted.device)
        height, width = (-(-side // _STEP) * _STEP // _CELL for side in (settings.height, settings.width))
        shape = (1, unet.config.in_channels, height, width)
        noise = first_noise(shape, settings, generator, wanted.device, dtype)
        stage = Stage(
            predict=partial(self._predict_for, scheduler, unet),
            scheduler=scheduler,
            timesteps=timesteps,
            latents=noise * scheduler.init_noise_sigma,
            noising=kit.noising["unet"],
            conditions=({"embeds": (torch.cat([unwanted, wanted]) if guided else wanted).to(dtype)},),
            guide=partial(_guide, settings.guidance, shape[1]) if guided else None,
            guidance_end=settings.guidance_end,
            unguided={"embeds": wanted.to(dtype)},
        )
        if over is not None:
            original = kit.vae.encode(over.pixels.to(wanted.device, kit.vae.dtype)).latents
            stage = begun(stage, original.to(noise), noise, over, settings.steps)
        return autoencoder.zero_to_one(kit.vae.decode(sample(stage), force_not_quantize=True).sample)

    def _predict_for(
        self, scheduler: Any, unet: Any, noisy: torch.Tensor, timesteps: torch.Tensor, conditions: Conditions
    ) -> torch.Tensor:
        """With the learned variance only where the scheduler takes it."""
        predicted = self.predict("unet", unet, noisy, timesteps, conditions)
        if scheduler.config.get("variance_type") in ("learned", "learned_range"):
            return predicted
        return predicted[:, : noisy.shape[1]]

    def preview(self, kit: Kit, x0: torch.Tensor) -> Image.Image:
        return preview.picture(x0[0], kit.colours())

    def workload(self, components: dict[str, Config]) -> Workload:
        return Workload(
            denoisers={
                "prior/prior": partial(self._run_prior, components.get("prior/prior", {})),
                "unet": partial(self._run_unet, components.get("unet", {})),
            },
            texts={"prior/text_encoder": TextLoad(TOKENS)},
            encoders={"movq": autoencoder.run_encode, "prior/image_encoder": _run_image_encoder},
            in_16_bits=("prior/image_encoder",),
            decoders={"movq": _run_movq},
        )

    def _run_prior(self, config: Config, network: Any, count: int, side: int, dtype: torch.dtype) -> Any:
        noisy, conditions = prior.inputs(config, count, dtype)
        return self.predict("prior", network, noisy, empty(count), conditions)

    def _run_unet(self, config: Config, network: Any, count: int, side: int, dtype: torch.dtype) -> Any:
        noisy = empty(count, config["in_channels"], side // _CELL, side // _CELL, dtype=dtype)
        embeds = empty(count, config["encoder_hid_dim"], dtype=dtype)
        return self.predict("unet", network, noisy, empty(count), {"embeds": embeds})


def _guide(scale: float, channels: int, unconditional: torch.Tensor, conditional: torch.Tensor) -> torch.Tensor:
    """Classifier-free guidance of the noise; a variance behind it is that of the conditional branch."""
    noise, wanted = unconditional[:, :channels], conditional[:, :channels]
    return torch.cat([noise + scale * (wanted - noise), conditional[:, channels:]], dim=1)


def _run_image_encoder(image_encoder: Any, count: int, side: int, dtype: torch.dtype) -> Any:
    """The image encoder, on pictures of its own size."""
    return image_encoder(empty(count, 3, image_encoder.config.image_size, image_encoder.config.image_size, dtype=dtype))


def _run_movq(movq: Any, count: int, side: int, dtype: torch.dtype) -> Any:
    """Without the codebook, as it draws."""
    latents = empty(count, movq.config.latent_channels, side // _CELL, side // _CELL, dtype=dtype)
    return movq.decode(latents, force_not_quantize=True)


FAMILY = Kandinsky22()
