"""A base ready to draw with: its networks in memory and the one way from a prompt to a picture."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from lora_gui.engine.draw import samplers, sampling
from lora_gui.engine.draw.picture import Beginning
from lora_gui.engine.draw.sampling import Progress
from lora_gui.engine.load import device as devices
from lora_gui.engine.load import prediction
from lora_gui.engine.load.sparing import Resting, fit, tile
from lora_gui.errors import UserError
from lora_gui.families.base import Family, Stage, Tensors
from lora_gui.families.shared.samplers import name_of, schedule_of
from lora_gui.settings import DrawSettings, Prediction


class NotFiniteError(UserError):
    """A drawing came out as NaN or infinity, which would show as black."""


class Pipeline:
    """Ours, in place of those of diffusers. `parts`, where given, are drawn with as they are; see `Family.kit`. With
    `previews` what these take is found at once, and not in the midst of a drawing.

    Where it is to be `sparing` of the device's memory, what decodes is there only when it is needed, and works in
    tiles; the first makes no difference to a drawing, the second a small one. Elsewhere tiles are for what has no room.
    """

    def __init__(
        self,
        family: Family,
        base: Path,
        device: torch.device,
        dtype: torch.dtype,
        parts: dict[str, nn.Module] | None = None,
        predicts: Prediction = "base",
        sparing: bool = False,
        previews: bool = False,
    ) -> None:
        self.family, self.kit = family, family.kit(base, device, dtype, parts)
        self.kit.noising = prediction.applied(self.kit.noising, predicts)
        prediction.apply_to_schedulers(self.kit.schedulers, predicts)
        if previews:
            self.kit.colours()  # while the network that it takes is where it is needed
        self._device, self._resting = device, list[Resting]()
        self._rooms: dict[int, float] = {}  # bytes free when so many pixels were first drawn: all are alike
        for decoder in self.kit.decoders if sparing else ():
            tile(decoder)
            self._resting.append(Resting(decoder.requires_grad_(False), device))

    @property
    def parts(self) -> dict[str, Any]:
        """What can carry a LoRA, by its name in LoRA files."""
        return self.kit.parts

    def sampler(self, settings: DrawSettings) -> tuple[str, str]:
        """Sampler and noise schedule, as drawings say them; the latter empty where the base's own is nothing special.

        Raises UserError where the base is not drawn with what is asked for.
        """
        *_, last = samplers.chosen(self.kit, self.family.facts.key, settings).schedulers.values()
        return name_of(type(last).__name__, last.config), schedule_of(last.config, settings.schedule)

    @torch.no_grad()
    def draw(
        self,
        settings: DrawSettings,
        seed: int,
        captions: Tensors | None = None,
        progress: Progress | None = None,
        begin: Beginning | None = None,
    ) -> Image.Image:
        """One drawing, over the picture to `begin` with where there is one. `captions`, where given, are what `encoded`
        made of the prompts, and stand for both.

        Raises NotFiniteError where latents or pixels are not numbers, UserError where the sampler is not the base's.
        """
        kit = samplers.chosen(self.kit, self.family.facts.key, settings)
        if captions is None:
            prompts = (settings.prompt, settings.negative_prompt)
            captions = encoded(self.family, self.kit.encoders, prompts, settings.clip_skip)
        generator = torch.Generator().manual_seed(seed)
        sample = partial(_sampled, generator=generator, progress=progress)
        over = begin.over() if begin else None
        pixels = settings.width * settings.height
        room = self._rooms.setdefault(pixels, devices.free(self._device))
        for network in () if self._resting else self.kit.decoders:
            fit(network, pixels, room)
        try:
            drawing = _image(_finite(self.family.draw(kit, settings, captions, generator, sample, over)))
            return begin.kept(drawing) if begin else drawing
        finally:
            for decoder in self._resting:
                decoder.rest()

    def preview(self, x0: torch.Tensor) -> Image.Image:
        """A rough and quick picture of predicted latents."""
        return self.family.preview(self.kit, x0)


@torch.no_grad()
def encoded(family: Family, encoders: Any, prompts: tuple[str, ...], clip_skip: int = 1) -> Tensors:
    """Prompts as they are drawn with, (B, ...)."""
    return family.encode_prompts(encoders, prompts, clip_skip)


def _sampled(stage: Stage, generator: torch.Generator, progress: Progress | None) -> torch.Tensor:
    """Looked at here too: an infinite latent can come out of the decoder as plain white."""
    return _finite(sampling.sample(stage, generator, progress))


def _finite(values: torch.Tensor) -> torch.Tensor:
    if not bool(values.isfinite().all()):
        raise NotFiniteError(
            "The drawing came out as values that are not numbers, which would show as black, so it was not kept.",
            "Draw without LoRAs or with lower strengths; if that fails too, the base is damaged: get it again.",
        )
    return values


def _image(pixels: torch.Tensor) -> Image.Image:
    """Pixels (1, 3, H, W) in [0, 1] as a picture."""
    rows = pixels[0].cpu().permute(1, 2, 0).float().numpy()
    return Image.fromarray((rows * 255).round().astype(np.uint8))
