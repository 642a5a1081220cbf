"""What families have in common that denoise the latents of an autoencoder with one network, conditioned on text."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch import nn
from transformers import AutoTokenizer

from lora_gui.errors import UserError
from lora_gui.families.base import (
    Batch,
    Conditions,
    Family,
    Kit,
    Load,
    Over,
    Stage,
    Tensors,
    TextLoad,
    Workload,
    whole,
)
from lora_gui.families.shared import autoencoder, preview
from lora_gui.families.shared.noising import first_noise, normal
from lora_gui.families.shared.over import begun
from lora_gui.families.shared.schedulers import scheduler_of
from lora_gui.settings import DrawSettings, TrainSettings

_ROW = 1024  # bytes a pixel that a row of a batch takes at its peak; above what is planned for FLUX.1 and FLUX.2

Config = dict[str, Any]


@dataclass
class Encoders:
    """What encodes captions and pictures; empty or None where it was not asked for."""

    vae: Any
    tokenizers: dict[str, Any]
    texts: dict[str, Any]  # text encoders by their folder, which is also their name in LoRA files
    further: dict[str, Any] = field(default_factory=dict)  # what only this family needs


class LatentFamily(Family):
    """A denoiser over latents (B, C, h, w). A family says which networks it has, and how its denoiser is called."""

    part: ClassVar[str]  # the denoiser's name in LoRA files, also its folder
    kind: ClassVar[Any]  # its class in diffusers
    text_kinds: ClassVar[dict[str, Any]]  # classes of the text encoders, by folder
    text_loads: ClassVar[dict[str, TextLoad]]  # for the planner, by folder
    tokenizer_kind: ClassVar[Any] = AutoTokenizer
    vae_kind: ClassVar[Any] = AutoencoderKL
    patch: ClassVar[int] = 1  # sides of a token in cells
    stacked: ClassVar[int] = 1  # cells that the denoiser takes on top of each other as one
    branches_apart: ClassVar[bool] = False  # each branch of the guidance is a batch of its own where memory is short

    # a family's own

    @abstractmethod
    def conditions_of(
        self, network: Any, captions: Tensors, sizes: list[tuple[int, int]], guidance: float | None = None
    ) -> Conditions:
        """The conditions of encoded captions (B, ...) and sizes (height, width) px. `guidance` is None in
        training."""

    @abstractmethod
    def inputs(self, config: Config, count: int, side: int, dtype: torch.dtype) -> tuple[torch.Tensor, Conditions]:
        """Noisy latents and conditions of one call, on the meta device, for a network with this configuration."""

    @abstractmethod
    def timesteps(self, scheduler: Any, settings: DrawSettings, latents: torch.Tensor) -> torch.Tensor:
        """Set a scheduler's timesteps for a drawing, and return them."""

    def computes_in(self, dtype: torch.dtype) -> torch.dtype:
        """The number format to load in where `dtype` is asked for."""
        return dtype

    def guide(
        self, kit: Kit, settings: DrawSettings, unconditional: torch.Tensor, conditional: torch.Tensor
    ) -> torch.Tensor:
        """Classifier-free guidance (Ho and Salimans 2022)."""
        return unconditional + settings.guidance * (conditional - unconditional)

    def reencode(self, parts: dict[str, Any], captions: Tensors) -> Tensors:
        """Captions through the text encoders that are trained, where any are; else as they were encoded."""
        return captions

    # what is built on that

    def require_fitting(self, base: Path) -> None:
        denoiser, vae = self.kind.load_config(base / self.part), self.vae_kind.load_config(base / "vae")
        require_channels(denoiser, vae, self.stacked)

    def denoisers(
        self, base: Path, device: torch.device, dtype: torch.dtype, load: Load = whole
    ) -> dict[str, nn.Module]:
        self.require_fitting(base)
        return {self.part: load(self.kind, base / self.part, device, self.computes_in(dtype))}

    def encoders(
        self,
        base: Path,
        device: torch.device,
        dtype: torch.dtype,
        load: Load = whole,
        captions: bool = True,
        pictures: bool = True,
    ) -> Encoders:
        dtype, precise = self.computes_in(dtype), torch.float32  # pictures are encoded once: no rounding need stay
        present = {
            name: kind
            for name, kind in self.text_kinds.items()
            if name not in self.facts.optional or (base / name).is_dir()
        }
        return Encoders(
            vae=self.load_vae(base, device, precise) if pictures else None,
            tokenizers={name: self.tokenizer_kind.from_pretrained(base / tokenizer_of(name)) for name in present},
            texts={name: load(kind, base / name, device, dtype) for name, kind in present.items()} if captions else {},
            further=self.further(base),
        )

    def load_vae(self, base: Path, device: torch.device, dtype: torch.dtype) -> Any:
        """The autoencoder."""
        return autoencoder.load(base, device, dtype)

    def further(self, base: Path) -> dict[str, Any]:
        """What else captions are encoded by, and drawings made."""
        return {}

    def encode_pictures(self, encoders: Encoders, pixels: torch.Tensor) -> Tensors:
        """Mean and std of the posterior; each step draws latents from it anew."""
        return autoencoder.encoded(encoders.vae, pixels)

    def kit(
        self, base: Path, device: torch.device, dtype: torch.dtype, parts: dict[str, nn.Module] | None = None
    ) -> Kit:
        self.require_fitting(base)
        encoders = None
        if parts is None:
            encoders = self.encoders(base, device, dtype, pictures=False)
            texts = {name: one for name, one in encoders.texts.items() if name in self.facts.prefixes}
            parts = self.denoisers(base, device, dtype) | texts
        elif any(name in parts for name in self.text_kinds):  # text encoders that are trained, or small enough to stay
            held = parts
            encoders = self.encoders(base, device, dtype, lambda kind, folder, *_: held[folder.name], pictures=False)
        vae = self.load_vae(base, device, self.computes_in(dtype))
        return Kit(
            parts=parts,
            encoders=encoders,
            vae=vae,
            schedulers={self.part: scheduler_of(base)},
            noising=self.noising(base, device),
            colours=cache(partial(preview.colour_map, vae)),
            further=self.further(base),
        )

    def latents(self, part: str, network: Any, batch: Batch, generator: torch.Generator) -> torch.Tensor:
        mean = batch.pictures["mean"]
        return mean + batch.pictures["std"] * normal(mean.shape, mean.device, generator)

    def conditions(
        self, part: str, parts: dict[str, Any], batch: Batch, settings: TrainSettings, generator: torch.Generator
    ) -> Conditions:
        return self.conditions_of(parts[part], self.reencode(parts, batch.captions), batch.sizes)

    def draw(
        self,
        kit: Kit,
        settings: DrawSettings,
        captions: Tensors,
        generator: torch.Generator,
        sample: Callable[[Stage], torch.Tensor],
        over: Over | None = None,
    ) -> torch.Tensor:
        network = kit.parts[self.part]
        where = next(network.parameters()).device  # an autoencoder that rests in RAM says nothing of it
        original = None if over is None else self.original(kit, over.pixels.to(where, kit.vae.dtype), generator)
        noise = self.first_noise(network, kit, settings, generator)
        stage = self._stage(kit, settings, captions, noise)
        if over is not None and original is not None:
            stage = begun(stage, original.to(noise), noise, over, settings.steps)
        return self.decode(kit, sample(stage))

    def original(self, kit: Kit, pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """The latents (1, C, h, w) of a picture that is drawn over, as the denoiser takes them."""
        return autoencoder.scaled(kit.vae, kit.vae.encode(pixels).latent_dist.sample(generator))

    def _stage(self, kit: Kit, settings: DrawSettings, captions: Tensors, noise: torch.Tensor) -> Stage:
        """All steps of a drawing that begins with `noise` alone."""
        network, scheduler = kit.parts[self.part], kit.schedulers[self.part]
        timesteps = self.timesteps(scheduler, settings, noise)
        guided = self.is_guided(kit, settings)
        apart = self.branches_apart and not has_room(noise.device, settings)
        branches = ([[1], [0]] if apart else [[1, 0]]) if guided else [[0]]  # rows of `captions`

        def conditions(rows: list[int]) -> Conditions:
            chosen = {key: value[rows] for key, value in captions.items()}
            sizes = [(settings.height, settings.width)] * len(rows)
            return self.conditions_of(network, chosen, sizes, settings.guidance)

        return Stage(
            predict=partial(self.predict, self.part, network),
            scheduler=scheduler,
            timesteps=timesteps,
            latents=noise * getattr(scheduler, "init_noise_sigma", 1.0),
            noising=kit.noising[self.part],
            conditions=tuple(map(conditions, branches)),
            guide=partial(self.guide, kit, settings) if guided else None,
            guidance_end=settings.guidance_end,
            unguided=conditions([0]) if guided and settings.guidance_end < 1 else {},
        )

    def first_noise(self, network: Any, kit: Kit, settings: DrawSettings, generator: torch.Generator) -> torch.Tensor:
        """What a drawing begins with, (1, C, h, w)."""
        cell = autoencoder.scale(kit.vae) * self.patch  # px of a token
        sides = (settings.height // cell * self.patch, settings.width // cell * self.patch)
        shape = (1, kit.vae.config.latent_channels, *sides)
        weight = next(network.parameters())
        return first_noise(shape, settings, generator, weight.device, self.latents_dtype(network))

    def latents_dtype(self, network: Any) -> torch.dtype:
        """The number format that latents are stepped in."""
        return dtype_of(network)

    def decode(self, kit: Kit, latents: torch.Tensor) -> torch.Tensor:
        """Finished latents to pixels (1, 3, H, W) in [0, 1]."""
        return autoencoder.zero_to_one(autoencoder.decoded(kit.vae, latents))

    def preview(self, kit: Kit, x0: torch.Tensor) -> Image.Image:
        return preview.picture(autoencoder.raw(kit.vae, x0)[0], kit.colours())

    def workload(self, components: dict[str, Config]) -> Workload:
        return Workload(
            denoisers={self.part: partial(self._run, components[self.part])} if self.part in components else {},
            texts=self.text_loads,
            encoders={"vae": autoencoder.run_encode},
            decoders={"vae": autoencoder.run_decode},
            drawn=1 if self.branches_apart else 2,
        )

    def _run(self, config: Config, network: Any, count: int, side: int, dtype: torch.dtype) -> torch.Tensor:
        noisy, conditions = self.inputs(config, count, side, dtype)
        return self.predict(self.part, network, noisy, empty(count), conditions)


def has_room(device: torch.device, settings: DrawSettings) -> bool:
    """Whether a card can hold a second row of a large denoiser's batch: both branches of the guidance in one pass,
    for which weights are dequantised, or fetched from the computer's own memory, once and not twice."""
    if device.type != "cuda":
        return False  # a processor is no quicker by it, and its drawings stay the pipeline's bit for bit
    free = torch.cuda.mem_get_info(device)[0]
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free >= 2 * _ROW * settings.width * settings.height


def require_channels(denoiser: Config, vae: Config, stacked: int = 1) -> None:
    """Raises UserError where a denoiser takes other channels than an autoencoder makes, by their configurations."""
    taken, made = denoiser.get("in_channels"), vae.get("latent_channels")
    if taken and made and taken != made * stacked:
        raise UserError(
            f"This base is built for another task: it takes {taken} channels, and a picture has {made * stacked}.",
            "Choose a base that is made to draw from words alone, not one for filling in or editing.",
        )


def tokenizer_of(text_encoder: str) -> str:
    """The folder of the tokenizer of a text encoder."""
    return text_encoder.replace("text_encoder", "tokenizer")


def empty(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """A tensor without contents, for the planner."""
    return torch.empty(shape, dtype=dtype, device="meta")


def dtype_of(network: Any) -> torch.dtype:
    """What a network computes in: that of its first floating weight that is neither of a LoRA nor in few bits."""
    return next(
        weight.dtype
        for name, weight in network.named_parameters()
        if weight.is_floating_point() and ".lora_" not in name and ".lokr_" not in name
    )
