"""What the U-Nets of Stable Diffusion share: which layers learn, their noise, and how their steps are set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from transformers import CLIPTokenizer

from lora_gui.families.base import Kit, Noising, Reader
from lora_gui.families.shared import token_limit
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
_RESCALED = 0.7  # the share phi of the rescaled guidance
TEXT_TARGETS = r".*self_attn\.(q_proj|k_proj|v_proj|out_proj)"


class UNetFamily(LatentFamily):
    """Stable Diffusion with a U-Net: discrete diffusion, and text encoders of CLIP that may learn too."""

    part = "unet"
    kind = UNet2DConditionModel
    tokenizer_kind = CLIPTokenizer

    def targets(self, part: str, layers: str) -> str:
        return TARGETS[layers] if part == "unet" else TEXT_TARGETS

    def noising(self, base: Path, device: torch.device) -> dict[str, Noising]:
        """As the base was noised when it was made, whichever scheduler it is drawn with."""
        return {self.part: Diffusion.of(DDPMScheduler.from_pretrained(base / "scheduler"), device)}

    def timesteps(self, scheduler: Any, settings: DrawSettings, latents: torch.Tensor) -> torch.Tensor:
        scheduler.set_timesteps(settings.steps, device=latents.device)
        return scheduler.timesteps

    def guide(
        self, kit: Kit, settings: DrawSettings, unconditional: torch.Tensor, conditional: torch.Tensor
    ) -> torch.Tensor:
        """Rescaled where the noise ends at a signal of zero, which else overexposes (Lin et al. 2024, section 3.4)."""
        guided = super().guide(kit, settings, unconditional, conditional)
        if not kit.schedulers[self.part].config.get("rescale_betas_zero_snr"):
            return guided
        axes = tuple(range(1, guided.ndim))
        rescaled = guided * (conditional.std(axes, keepdim=True) / guided.std(axes, keepdim=True))
        return _RESCALED * rescaled + (1 - _RESCALED) * guided

    def reader(self, base: Path) -> Reader:
        return token_limit.reader(base / "tokenizer")


def noisy(config: Config, count: int, side: int, dtype: torch.dtype) -> torch.Tensor:
    """Latents for the planner."""
    return empty(count, config["in_channels"], side // 8, side // 8, dtype=dtype)
