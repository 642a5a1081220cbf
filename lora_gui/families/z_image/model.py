"""Z-Image: rectified flow over one stream of picture and text tokens, conditioned on hidden states of Qwen3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import ZImageTransformer2DModel

from lora_gui.errors import UserError
from lora_gui.families.base import Conditions, Kit, Noising, Tensors, TextLoad
from lora_gui.families.shared import flow, flux, qwen3
from lora_gui.families.shared.latent import Config, Encoders, dtype_of, empty
from lora_gui.families.shared.noising import RectifiedFlow
from lora_gui.families.z_image.facts import FACTS
from lora_gui.settings import DrawSettings

_LAYERS = 35  # of the 36 of Qwen3-4B: the state before its last layer is read
_DISTILLED_SHIFT = 3.0  # of the scheduler of Turbo; that of the base is 6
# Of the logit-normal noise levels that are learnt, as musubi-tuner's docs/zimage.md has it. By the shift of 6 that is
# drawn with, one step in 250 would learn below a sigma of 0.3, where textures and faces are.
_LEARNT_SHIFT = 2.0

_BLOCKS = r"(layers|noise_refiner|context_refiner)\.\d+"
_ATTENTION = r"attention\.(to_q|to_k|to_v|to_out\.0)"
_TARGETS = {
    "attention": rf"layers\.\d+\.{_ATTENTION}",
    "linear": rf"{_BLOCKS}\.({_ATTENTION}|feed_forward\.w[123])",
    "all": rf"{_BLOCKS}\.({_ATTENTION}|feed_forward\.w[123]|adaLN_modulation\.0)",
}


class ZImage(qwen3.Qwen3Family):
    """Its time runs the other way: the transformer is told (1000 - t) / 1000 and gives the velocity's negative."""

    facts = FACTS
    part = "transformer"
    kind = ZImageTransformer2DModel
    layers = _LAYERS
    thinking = True
    text_loads = {"text_encoder": TextLoad(qwen3.TOKENS, masked=True, layers=_LAYERS)}
    patch = 2

    def computes_in(self, dtype: torch.dtype) -> torch.dtype:
        return flux.without_fp16(dtype)

    def require_learning(self, base: Path) -> None:
        super().require_learning(base)
        if flow.config_of(base).get("shift", 1.0) <= _DISTILLED_SHIFT:
            raise UserError(
                "This base is Z-Image Turbo or made like it: it was distilled to draw in eight steps and cannot learn.",
                "Train with Z-Image; its LoRAs can be drawn with here too.",
            )

    def targets(self, part: str, layers: str) -> str:
        return _TARGETS[layers]

    def encode_captions(self, encoders: Encoders, captions: list[str]) -> Tensors:
        """The states before Qwen3's last layer (B, 512, 2560), zeros behind a caption's end, and its length (B,)."""
        states, mask = self.states(encoders, captions)
        return {"text": states[-1] * mask[..., None].to(states[-1].dtype), "length": mask.sum(dim=1)}

    def noising(self, base: Path, device: torch.device) -> dict[str, Noising]:
        return {self.part: RectifiedFlow(lambda cells: _LEARNT_SHIFT)}

    def timesteps(self, scheduler: Any, settings: DrawSettings, latents: torch.Tensor) -> torch.Tensor:
        return flow.set_timesteps(scheduler, settings.steps, latents)

    def is_guided(self, kit: Kit, settings: DrawSettings) -> bool:
        """Its guidance is what is added to the prompt's prediction, so that 0 is without."""
        return settings.guidance > 0

    def guide(
        self, kit: Kit, settings: DrawSettings, unconditional: torch.Tensor, conditional: torch.Tensor
    ) -> torch.Tensor:
        return conditional + settings.guidance * (conditional - unconditional)

    def latents_dtype(self, network: Any) -> torch.dtype:
        return torch.float32

    def conditions_of(
        self, network: Any, captions: Tensors, sizes: list[tuple[int, int]], guidance: float | None = None
    ) -> Conditions:
        """Each caption in its own length, which the cache keeps with the host."""
        texts = captions["text"].to(dtype_of(network))
        return {"text": [text[:length] for text, length in zip(texts, captions["length"].tolist(), strict=True)]}

    def predict(
        self, part: str, network: Any, noisy: torch.Tensor, timesteps: torch.Tensor, conditions: Conditions
    ) -> torch.Tensor:
        frames = noisy.to(dtype_of(network)).unsqueeze(2).unbind(0)  # each (C, 1, h, w)
        predicted = network(list(frames), (1000 - timesteps) / 1000, conditions["text"], return_dict=False)[0]
        return -torch.stack([one.float() for one in predicted]).squeeze(2)

    def inputs(self, config: Config, count: int, side: int, dtype: torch.dtype) -> tuple[torch.Tensor, Conditions]:
        text = [empty(qwen3.TOKENS, config["cap_feat_dim"], dtype=dtype) for _ in range(count)]
        return empty(count, config["in_channels"], side // 8, side // 8, dtype=dtype), {"text": text}


FAMILY = ZImage()
