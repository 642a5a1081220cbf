"""Wuerstchen v2: its prior (stage C) learns pictures made 42 times smaller each way; the decoder stays as it is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMWuerstchenScheduler, WuerstchenDecoderPipeline, WuerstchenPriorPipeline
from diffusers.models.attention_processor import AttnProcessor2_0
from diffusers.pipelines.deprecated.wuerstchen import PaellaVQModel, WuerstchenDiffNeXt, WuerstchenPrior
from PIL import Image
from torch import nn
from transformers import AutoTokenizer, CLIPTextModel

from lora_gui.errors import UserError
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
from lora_gui.families.shared import preview, token_limit
from lora_gui.families.shared.clip import TOKENS
from lora_gui.families.shared.latent import Config, empty
from lora_gui.families.wuerstchen import blocks, efficientnet, stages
from lora_gui.families.wuerstchen.facts import FACTS
from lora_gui.settings import DrawSettings, TrainSettings

_ATTENTION = r"attention\.(to_q|to_k|to_v|to_out\.0)"
_LINEAR = rf"{_ATTENTION}|kv_mapper\.1|channelwise\.(0|4)"
_TARGETS = {
    "attention": rf"blocks\.\d+\.{_ATTENTION}",
    "linear": rf"blocks\.\d+\.({_LINEAR})",
    "all": rf"blocks\.\d+\.({_LINEAR}|mapper)|cond_mapper\.(0|2)",
}
_CELL = 42.67  # px of a cell of the prior, at full size


@dataclass
class Encoders:
    """What encodes captions and pictures; empty or None where it was not asked for."""

    texts: dict[str, tuple[Any, Any]]  # tokenizer and encoder of the prior and of the decoder
    image_encoder: Any  # the EfficientNet
    scales: dict[str, float]


class Wuerstchen(Family):
    """A base is the folder of the decoder's pipeline, with two more in it: the prior's pipeline as `prior`, and as
    `effnet` the network that makes latents of pictures, which only training and previews need."""

    facts = FACTS

    def require_fitting(self, base: Path) -> None:
        taken = WuerstchenPrior.load_config(base / "prior" / "prior").get("c_in", efficientnet.CHANNELS)
        if taken != efficientnet.CHANNELS:
            raise UserError(
                f"This base is built otherwise: its prior takes {taken} channels, not {efficientnet.CHANNELS}.",
                "Choose Wuerstchen v2.",
            )

    queries_apart = True

    def targets(self, part: str, layers: str) -> str:
        return _TARGETS[layers]

    def fuse(self, part: str, network: Any) -> None:
        blocks.fuse(network)

    def encoders(
        self,
        base: Path,
        device: torch.device,
        dtype: torch.dtype,
        load: Load = whole,
        captions: bool = True,
        pictures: bool = True,
    ) -> Encoders:
        return Encoders(
            texts=_texts(base, device, dtype, load) if captions else {},
            image_encoder=efficientnet.load(base / "effnet", device) if pictures else None,
            scales=_scales(base),
        )

    def encode_pictures(self, encoders: Encoders, pixels: torch.Tensor) -> Tensors:
        return {"latents": _normalised(efficientnet.encoded(encoders.image_encoder, pixels), encoders.scales)}

    def encode_captions(self, encoders: Encoders, captions: list[str]) -> Tensors:
        """The states of both text encoders, tokens behind a caption's end masked: (B, 77, 1280) and (B, 77, 1024)."""
        states = {}
        for name, (tokenizer, encoder) in encoders.texts.items():
            rows = token_limit.rows(tokenizer, captions)
            ids, mask = rows.input_ids.to(encoder.device), rows.attention_mask.to(encoder.device)
            states[name] = encoder(ids, attention_mask=mask).last_hidden_state
        return states

    def reader(self, base: Path) -> Reader:
        return token_limit.reader(base / "prior" / "tokenizer")

    def denoisers(
        self, base: Path, device: torch.device, dtype: torch.dtype, load: Load = whole
    ) -> dict[str, nn.Module]:
        self.require_fitting(base)
        return {"prior": _prior(base, device, dtype, load)}

    def kit(
        self, base: Path, device: torch.device, dtype: torch.dtype, parts: dict[str, nn.Module] | None = None
    ) -> Kit:
        encoders = self.encoders(base, device, dtype, pictures=False) if parts is None else None
        return Kit(
            parts=self.denoisers(base, device, dtype) if parts is None else parts,
            encoders=encoders,
            vae=whole(PaellaVQModel, base / "vqgan", device, dtype),
            schedulers={
                "prior": DDPMWuerstchenScheduler.from_pretrained(base / "prior" / "scheduler"),
                "decoder": DDPMWuerstchenScheduler.from_pretrained(base / "scheduler"),
            },
            noising=self.noising(base, device),
            colours=cache(partial(_colours, base, device)),
            further={"decoder": whole(WuerstchenDiffNeXt, base / "decoder", device, dtype), **_scales(base)},
        )

    def noising(self, base: Path, device: torch.device) -> dict[str, Noising]:
        offset = DDPMWuerstchenScheduler.load_config(base / "prior" / "scheduler").get("s", 0.008)
        return {"prior": stages.Cosine(offset)}

    def latents(self, part: str, network: Any, batch: Batch, generator: torch.Generator) -> torch.Tensor:
        return batch.pictures["latents"]

    def conditions(
        self, part: str, parts: dict[str, Any], batch: Batch, settings: TrainSettings, generator: torch.Generator
    ) -> Conditions:
        return {"text": batch.captions["text"].to(parts[part].projection.weight.dtype)}

    def predict(
        self, part: str, network: Any, noisy: torch.Tensor, timesteps: torch.Tensor, conditions: Conditions
    ) -> torch.Tensor:
        return network(noisy.to(network.projection.weight.dtype), timesteps, conditions["text"])

    def draw(
        self,
        kit: Kit,
        settings: DrawSettings,
        captions: Tensors,
        generator: torch.Generator,
        sample: Callable[[Stage], torch.Tensor],
        over: Over | None = None,
    ) -> torch.Tensor:
        """`settings.steps` are those of the prior; the decoder takes twelve, without guidance."""
        predict = partial(self.predict, "prior", kit.parts["prior"])
        latents = sample(stages.plan(kit, settings, captions["text"], generator, predict))
        cells = sample(stages.carry_out(kit, latents, captions["decoder_text"][:1], generator))
        return kit.vae.decode(kit.vae.config.scale_factor * cells).sample.clamp(0, 1)

    def preview(self, kit: Kit, x0: torch.Tensor) -> Image.Image:
        cell = kit.further["resolution_multiple"]  # px
        image = preview.picture(x0[0], kit.colours())
        return image.resize((round(x0.shape[-1] * cell), round(x0.shape[-2] * cell)))

    def workload(self, components: dict[str, Config]) -> Workload:
        return Workload(
            denoisers={"prior/prior": partial(self._run_prior, components.get("prior/prior", {}))},
            texts={"prior/text_encoder": TextLoad(TOKENS), "text_encoder": TextLoad(TOKENS)},
            encoders={"effnet": _run_image_encoder},
            decoders={"decoder": _run_decoder, "vqgan": _run_vqgan},
        )

    def _run_prior(self, config: Config, network: Any, count: int, side: int, dtype: torch.dtype) -> Any:
        network.set_attn_processor(AttnProcessor2_0())
        cells = math.ceil(side / _CELL)
        noisy = empty(count, config["c_in"], cells, cells, dtype=dtype)
        text = empty(count, TOKENS, config["c_cond"], dtype=dtype)
        return self.predict("prior", network, noisy, empty(count, dtype=dtype), {"text": text})


def _scales(base: Path) -> dict[str, float]:
    """Scales of latents and pictures, as the configurations of both pipelines have them."""
    usual = {"latent_mean": 42.0, "latent_std": 1.0, "resolution_multiple": 42.67, "latent_dim_scale": 10.67}
    found = WuerstchenDecoderPipeline.load_config(base) | WuerstchenPriorPipeline.load_config(base / "prior")
    return {name: found.get(name, value) for name, value in usual.items()}


def _normalised(cells: torch.Tensor, scales: dict[str, float]) -> torch.Tensor:
    """What the EfficientNet makes of pictures, as the prior denoises it."""
    return (cells + scales["latent_std"]) / scales["latent_mean"]


def _texts(base: Path, device: torch.device, dtype: torch.dtype, load: Load) -> dict[str, tuple[Any, Any]]:
    texts = {}
    for name, folder in {"text": base / "prior", "decoder_text": base}.items():
        encoder = load(CLIPTextModel, folder / "text_encoder", device, dtype)
        texts[name] = (AutoTokenizer.from_pretrained(folder / "tokenizer"), encoder)
    return texts


def _prior(base: Path, device: torch.device, dtype: torch.dtype, load: Load) -> Any:
    """Stage C with scaled dot product attention, in place of the slow one its class sets up.

    It is told its noise level in fp32 whatever its weights are: in half precision the finer half of that is lost.
    """
    prior = load(WuerstchenPrior, base / "prior" / "prior", device, dtype)
    prior.set_attn_processor(AttnProcessor2_0())
    embedding = prior.gen_r_embedding
    prior.gen_r_embedding = lambda r: embedding(r.float()).to(prior.projection.weight.dtype)
    return prior


def _colours(base: Path, device: torch.device) -> torch.Tensor:
    """The colours of latents for previews; the network that makes latents leaves memory again."""
    image_encoder, scales = efficientnet.load(base / "effnet", device), _scales(base)
    return preview.fitted(lambda pixels: _normalised(efficientnet.encoded(image_encoder, pixels), scales), size=256)


def _run_image_encoder(image_encoder: Any, count: int, side: int, dtype: torch.dtype) -> Any:
    return image_encoder(empty(count, 3, side * 3 // 4, side * 3 // 4, dtype=dtype))


def _run_vqgan(vqgan: Any, count: int, side: int, dtype: torch.dtype) -> Any:
    """Without the codebook, as it draws."""
    latents = empty(count, vqgan.config.latent_channels, side // 4, side // 4, dtype=dtype)
    return vqgan.decode(latents, force_not_quantize=True)


def _run_decoder(decoder: Any, count: int, side: int, dtype: torch.dtype) -> Any:
    cells, planned = side // 4, math.ceil(side / _CELL)
    return decoder(
        empty(count, decoder.config.c_in, cells, cells, dtype=dtype),
        empty(count, dtype=dtype),
        empty(count, decoder.config.effnet_embd, planned, planned, dtype=dtype),
        empty(count, TOKENS, decoder.config.clip_embd, dtype=dtype),
    )


FAMILY = Wuerstchen()
