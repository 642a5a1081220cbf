"""FLUX.2 klein: rectified flow over a transformer of 4 or 9 B parameters, conditioned on Qwen3's hidden states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLFlux2, Flux2KleinPipeline, Flux2Transformer2DModel
from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu
from PIL import Image

from lora_gui.errors import UserError
from lora_gui.families.base import Batch, Conditions, Kit, Noising, Tensors, TextLoad, whole
from lora_gui.families.flux_2_klein import blocks
from lora_gui.families.flux_2_klein.facts import FACTS
from lora_gui.families.shared import autoencoder, flow, flux, preview, qwen3
from lora_gui.families.shared.latent import Config, Encoders, dtype_of, empty
from lora_gui.families.shared.noising import RectifiedFlow, first_noise
from lora_gui.settings import DrawSettings

_TEXT_LAYERS = (9, 18, 27)  # of Qwen3, whose states stand side by side; its later layers are not needed
_AXES = 4  # of a token's place

_DOUBLE, _SINGLE = r"transformer_blocks\.\d+\.", r"single_transformer_blocks\.\d+\.attn\.(to_qkv_mlp_proj|to_out)"
_ATTENTION = r"to_q|to_k|to_v|to_out\.0"
_LINEAR = rf"attn\.({_ATTENTION}|add_q_proj|add_k_proj|add_v_proj|to_add_out)|ff(_context)?\.linear_(in|out)"
_TARGETS = {
    "attention": rf"{_DOUBLE}attn\.({_ATTENTION})|{_SINGLE}",
    "linear": rf"{_DOUBLE}({_LINEAR})|{_SINGLE}",
    "all": rf"{_DOUBLE}({_LINEAR})|{_SINGLE}|(double_stream_modulation_(img|txt)|single_stream_modulation)\.linear",
}


class Flux2Klein(qwen3.Qwen3Family):
    """Its latents are normalised channel by channel in patches of 2 x 2, and then taken apart again."""

    facts = FACTS
    part = "transformer"
    kind = Flux2Transformer2DModel
    layers = max(_TEXT_LAYERS)
    thinking = False
    text_loads = {"text_encoder": TextLoad(qwen3.TOKENS, masked=True, layers=max(_TEXT_LAYERS))}
    vae_kind = AutoencoderKLFlux2
    patch = 2
    stacked = 4
    branches_apart = True

    def computes_in(self, dtype: torch.dtype) -> torch.dtype:
        return flux.without_fp16(dtype)

    def require_learning(self, base: Path) -> None:
        super().require_learning(base)
        if self.further(base)["is_distilled"]:
            raise UserError(
                "This FLUX.2 klein was distilled to draw in four steps and cannot learn.",
                "Train with FLUX.2 klein base of the same size; its LoRAs can be drawn with here too.",
            )

    def further(self, base: Path) -> dict[str, Any]:
        """A distilled base takes neither guidance nor a negative prompt."""
        return {"is_distilled": Flux2KleinPipeline.load_config(base).get("is_distilled", False)}

    def targets(self, part: str, layers: str) -> str:
        return _TARGETS[layers]

    def fuse(self, part: str, network: Any) -> None:
        blocks.fuse(network)

    def load_vae(self, base: Path, device: torch.device, dtype: torch.dtype) -> Any:
        return whole(AutoencoderKLFlux2, base / "vae", device, dtype)

    def encode_pictures(self, encoders: Encoders, pixels: torch.Tensor) -> Tensors:
        """The posterior's mode, patched and each channel brought to mean 0 and std 1: (B, 128, h/16, w/16)."""
        vae = encoders.vae
        latents = flux.patches(vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist.mode().float())
        mean, std = _statistics(vae)
        return {"latents": (latents - mean) / std}

    def encode_captions(self, encoders: Encoders, captions: list[str]) -> Tensors:
        """The states of three layers side by side, (B, 512, 3 * width)."""
        states, _ = self.states(encoders, captions)
        return {"text": torch.cat([states[layer] for layer in _TEXT_LAYERS], dim=-1)}

    def noising(self, base: Path, device: torch.device) -> dict[str, Noising]:
        return {self.part: RectifiedFlow(flow.Shift.of(flow.config_of(base)))}

    def latents(self, part: str, network: Any, batch: Batch, generator: torch.Generator) -> torch.Tensor:
        return flux.cells(batch.pictures["latents"])

    def timesteps(self, scheduler: Any, settings: DrawSettings, latents: torch.Tensor) -> torch.Tensor:
        mu = compute_empirical_mu(latents.shape[-2] * latents.shape[-1] // 4, settings.steps)
        return flow.set_timesteps(scheduler, settings.steps, latents, mu=mu)

    def is_guided(self, kit: Kit, settings: DrawSettings) -> bool:
        return settings.guidance > 1 and not kit.further["is_distilled"]

    def original(self, kit: Kit, pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """The posterior's mode, normalised as `encode_pictures` does."""
        latents = flux.patches(kit.vae.encode(pixels).latent_dist.mode())
        mean, std = _statistics(kit.vae)
        return flux.cells((latents - mean.to(latents)) / std.to(latents))

    def first_noise(self, network: Any, kit: Kit, settings: DrawSettings, generator: torch.Generator) -> torch.Tensor:
        """Drawn in patches, as the pipeline does."""
        shape = (1, network.config.in_channels, settings.height // 16, settings.width // 16)
        device, dtype = next(network.parameters()).device, dtype_of(network)
        return flux.cells(first_noise(shape, settings, generator, device, dtype))

    def conditions_of(
        self, network: Any, captions: Tensors, sizes: list[tuple[int, int]], guidance: float | None = None
    ) -> Conditions:
        text = captions["text"].to(dtype_of(network))
        height, width = (side // 16 for side in sizes[0])  # in tokens
        txt_ids = torch.zeros((text.shape[1], _AXES), device=text.device)
        txt_ids[:, -1] = torch.arange(text.shape[1], device=text.device)
        places = flux.position_ids(height, width, _AXES, text.device)
        return {"text": text, "txt_ids": txt_ids, "img_ids": places}

    def predict(
        self, part: str, network: Any, noisy: torch.Tensor, timesteps: torch.Tensor, conditions: Conditions
    ) -> torch.Tensor:
        patched = flux.patches(noisy)
        predicted = network(
            hidden_states=flux.tokens(patched).to(dtype_of(network)),
            timestep=timesteps / 1000,
            encoder_hidden_states=conditions["text"],
            img_ids=conditions["img_ids"],
            txt_ids=conditions["txt_ids"],
        ).sample
        return flux.cells(flux.untokened(predicted, *patched.shape[-2:]))

    def decode(self, kit: Kit, latents: torch.Tensor) -> torch.Tensor:
        return autoencoder.zero_to_one(kit.vae.decode(_raw(kit.vae, latents).to(kit.vae.dtype)).sample)

    def preview(self, kit: Kit, x0: torch.Tensor) -> Image.Image:
        return preview.picture(_raw(kit.vae, x0)[0], kit.colours())

    def inputs(self, config: Config, count: int, side: int, dtype: torch.dtype) -> tuple[torch.Tensor, Conditions]:
        return empty(count, config["in_channels"] // 4, side // 8, side // 8, dtype=dtype), {
            "text": empty(count, qwen3.TOKENS, config["joint_attention_dim"], dtype=dtype),
            "txt_ids": empty(qwen3.TOKENS, _AXES),
            "img_ids": empty((side // 16) ** 2, _AXES),
        }


def _raw(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """Latents (B, 32, h, w) as the autoencoder itself has them."""
    mean, std = (one.to(latents.dtype) for one in _statistics(vae))
    return flux.cells(flux.patches(latents) * std + mean)


def _statistics(vae: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and std of each channel of patched latents, both (1, C, 1, 1) fp32."""
    mean, variance = vae.bn.running_mean.float(), vae.bn.running_var.float()
    return mean.view(1, -1, 1, 1), (variance + vae.config.batch_norm_eps).sqrt().view(1, -1, 1, 1)


FAMILY = Flux2Klein()
