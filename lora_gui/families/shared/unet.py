"""What the U-Nets of Stable Diffusion share: which layers learn, their noise, and how their steps are set."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from transformers import CLIPTokenizer

from lora_gui.families.base import Kit, Noising, Reader, Tensors
from lora_gui.families.shared import emphasis, schedulers, token_limit
from lora_gui.families.shared.emphasis import Chunk
from lora_gui.families.shared.latent import Config, LatentFamily, empty
from lora_gui.families.shared.noising import Diffusion
from lora_gui.settings import DrawSettings

_ATTENTION = r"attn\d\.(to_q|to_k|to_v|to_out\.0)"
_LINEAR = rf"({_ATTENTION}|ff\.net\.0\.proj|ff\.net\.2|proj_in|proj_out)"
_CONVOLUTIONS = r"resnets\.\d+\.(conv1|conv2|conv_shortcut|time_emb_proj)|(down|up)samplers\.0\.conv"
TARGETS = {
    "attention": rf".*\.{_ATTENTION}",
    "linear": rf".*attentions\..*\.{_LINEAR}",
    "all": rf".*(attentions\..*\.{_LINEAR}|{_CONVOLUTIONS})",
}
RESCALED = 0.7  # the share phi of the rescaled guidance
TEXT_TARGETS = r".*self_attn\.(q_proj|k_proj|v_proj|out_proj)"


class UNetFamily(LatentFamily):
    """Stable Diffusion with a U-Net: discrete diffusion, and text encoders of CLIP that may learn too."""

    part = "unet"
    kind = UNet2DConditionModel
    tokenizer_kind = CLIPTokenizer

    @abstractmethod
    def embed(self, encoders: Any, ids: Tensors, weights: torch.Tensor, clip_skip: int) -> Tensors:
        """What `encode_captions` makes of text, of tokens (1, 77) by their encoder, with the weight of each (1, 77)."""

    def encode_prompts(self, encoders: Any, prompts: tuple[str, ...], clip_skip: int = 1) -> Tensors:
        """With weights, BREAK and all words; the shorter of prompts of several chunks filled up with empty ones."""
        rows = [self._prompt(encoders, prompt, clip_skip) for prompt in prompts]
        longest, nothing = max(len(row) for row in rows), dict.fromkeys(encoders.tokenizers, Chunk())
        for row, prompt in zip(rows, prompts, strict=True):
            while len(row) < longest:  # one that says nothing at all is no words, whatever the base makes of that
                row.append(self._chunk(encoders, nothing, clip_skip) if prompt else row[0])
        whole = [row[0] | {"text": torch.cat([one["text"] for one in row], dim=1)} for row in rows]
        return {key: torch.cat([one[key] for one in whole]) for key in whole[0] if all(key in one for one in whole)}

    def _prompt(self, encoders: Any, prompt: str, clip_skip: int) -> list[Tensors]:
        """A prompt chunk by chunk; one that says nothing but few words is read as any caption."""
        pieces = emphasis.segments(prompt)
        chunks = {name: emphasis.chunks(tokenizer, pieces) for name, tokenizer in encoders.tokenizers.items()}
        count = max(len(found) for found in chunks.values())
        if count == 1 and emphasis.is_plain(pieces, prompt) and (clip_skip == 1 or not self.facts.skips_layers):
            return [self.encode_captions(encoders, [prompt])]
        return [
            self._chunk(encoders, {name: (found + [Chunk()] * count)[n] for name, found in chunks.items()}, clip_skip)
            for n in range(count)
        ]

    def _chunk(self, encoders: Any, chunks: dict[str, Chunk], clip_skip: int) -> Tensors:
        """One chunk, by its encoders' tokens."""
        filled = {name: emphasis.filled(encoders.tokenizers[name], chunk) for name, chunk in chunks.items()}
        device = next(iter(encoders.texts.values())).device
        ids = {name: torch.tensor([ids], device=device) for name, (ids, _) in filled.items()}
        weights = torch.tensor([next(iter(filled.values()))[1]], device=device)
        return self.embed(encoders, ids, weights, clip_skip)

    def targets(self, part: str, layers: str) -> str:
        return TARGETS[layers] if part == "unet" else TEXT_TARGETS

    def noising(self, base: Path, device: torch.device) -> dict[str, Noising]:
        """As the base was noised when it was made, whichever scheduler it is drawn with."""
        return {self.part: Diffusion.of(DDPMScheduler.from_pretrained(base / "scheduler"), device)}

    def timesteps(self, scheduler: Any, settings: DrawSettings, latents: torch.Tensor) -> torch.Tensor:
        return schedulers.set_timesteps(scheduler, settings.steps, latents.device)

    def guide(
        self, kit: Kit, settings: DrawSettings, unconditional: torch.Tensor, conditional: torch.Tensor
    ) -> torch.Tensor:
        """Rescaled where the noise ends at a signal of zero, which else overexposes (Lin et al. 2024, section 3.4)."""
        guided = super().guide(kit, settings, unconditional, conditional)
        if not kit.schedulers[self.part].config.get("rescale_betas_zero_snr"):
            return guided
        axes = tuple(range(1, guided.ndim))
        rescaled = guided * (conditional.std(axes, keepdim=True) / guided.std(axes, keepdim=True))
        return RESCALED * rescaled + (1 - RESCALED) * guided

    def reader(self, base: Path) -> Reader:
        return token_limit.reader(base / "tokenizer")


def noisy(config: Config, count: int, side: int, dtype: torch.dtype) -> torch.Tensor:
    """Latents for the planner."""
    return empty(count, config["in_channels"], side // 8, side // 8, dtype=dtype)
