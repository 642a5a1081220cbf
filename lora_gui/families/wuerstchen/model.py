"""Wuerstchen v2: its prior (stage C) learns pictures made 42 times smaller each way; the decoder stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_gui.families.base import Batch, Family, Load, whole
from lora_gui.families.wuerstchen.facts import FACTS

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from torch import nn

    from lora_gui.families.shared.token_limit import Reader
    from lora_gui.settings import DrawSettings, TrainSettings

_ATTENTION = r"attention\.(to_q|to_k|to_v|to_out\.0)"
_LINEAR = rf"{_ATTENTION}|kv_mapper\.1|channelwise\.(0|4)"
_TARGETS = {
    "attention": rf"blocks\.\d+\.{_ATTENTION}",
    "linear": rf"blocks\.\d+\.({_LINEAR})",
    "all": rf"blocks\.\d+\.({_LINEAR}|mapper)|cond_mapper\.(0|2)",
}


@dataclass
class _Encoders:
    texts: dict[str, tuple[Any, Any]]  # tokenizer and encoder of the prior and of the decoder
    eye: Any = None
    mean: float = 0.0  # latents are (z + spread) / mean
    spread: float = 0.0


class Wuerstchen(Family):
    """A base is the folder of the decoder's pipeline, with two more in it: the prior's pipeline as `prior`, and as
    `effnet` the network that makes latents of pictures, which only training and previews need."""

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
        from lora_gui.families.wuerstchen import efficientnet

        config = _config(base)
        return _Encoders(
            _texts(base, device, dtype, load) if captions else {},
            efficientnet.load(base / "effnet", device) if pictures else None,
            config["latent_mean"],
            config["latent_std"],
        )

    def encode_pictures(self, encoders: _Encoders, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        from lora_gui.families.wuerstchen import efficientnet

        cells = efficientnet.encoded(encoders.eye, pixels)
        return {"latents": (cells + encoders.spread) / encoders.mean}

    def encode_captions(self, encoders: _Encoders, captions: list[str]) -> dict[str, torch.Tensor]:
        """The states of both text encoders, tokens behind a caption's end masked: (B, 77, 1280) and (B, 77, 1024)."""
        states = {}
        for name, (tokenizer, encoder) in encoders.texts.items():
            length = tokenizer.model_max_length
            rows = tokenizer(captions, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
            ids, mask = rows.input_ids.to(encoder.device), rows.attention_mask.to(encoder.device)
            states[name] = encoder(ids, attention_mask=mask).last_hidden_state
        return states

    def reader(self, base: Path) -> Reader:
        from lora_gui.families.shared import token_limit

        return token_limit.reader(base / "prior" / "tokenizer")

    def denoisers(
        self, base: Path, device: torch.device, dtype: torch.dtype, load: Load = whole
    ) -> dict[str, nn.Module]:
        return {"prior": _prior(base, device, dtype, load)}

    def schedule(self, base: Path, device: torch.device) -> float:
        """The offset of the cosine that noise levels follow."""
        from diffusers import DDPMWuerstchenScheduler

        return DDPMWuerstchenScheduler.load_config(base / "prior" / "scheduler").get("s", 0.008)

    def targets(self, part: str, layers: str) -> str:
        return _TARGETS[layers]

    def loss(
        self,
        parts: dict[str, nn.Module],
        batch: Batch,
        schedule: Any,
        settings: TrainSettings,
        generator: torch.Generator,
    ) -> torch.Tensor:
        """Weighted as the base was trained, by 1 / (1 + snr) (Choi et al. 2022, eq. 8), unless min-SNR is asked for."""
        import torch

        from lora_gui.families.shared import losses
        from lora_gui.families.wuerstchen.stages import alphas_cumprod

        prior: Any = parts["prior"]
        dtype, latents = prior.projection.weight.dtype, batch.pictures["latents"]
        noise = losses.noise_like(latents, settings.noise_offset, generator)
        share = torch.rand(len(latents), generator=generator, device=latents.device)
        timesteps = (1.08 * share + 0.001).clamp(0.001, 1)  # the noisiest end a little more often; fp32
        abar = alphas_cumprod(timesteps, schedule)
        signal, sigma = (losses.per_picture(one.sqrt(), latents) for one in (abar, 1 - abar))
        noisy = signal * latents + sigma * noise
        predicted = prior(noisy.to(dtype), timesteps, batch.captions["text"].to(dtype))
        snr, gamma = abar / (1 - abar), settings.min_snr_gamma
        weight = snr.clamp(max=gamma) / snr if gamma else 1 / (1 + snr)
        return losses.squared_error(predicted, noise) * weight

    def pipeline(
        self, base: Path, device: torch.device, dtype: torch.dtype, parts: dict[str, nn.Module] | None = None
    ) -> Any:
        from diffusers import DDPMWuerstchenScheduler
        from diffusers.pipelines.deprecated.wuerstchen import PaellaVQModel, WuerstchenDiffNeXt

        from lora_gui.families.wuerstchen.stages import Stages

        config = _config(base)
        return Stages(
            prior=parts["prior"] if parts else _prior(base, device, dtype, whole),
            prior_scheduler=DDPMWuerstchenScheduler.from_pretrained(base / "prior" / "scheduler"),
            decoder=whole(WuerstchenDiffNeXt, base / "decoder", device, dtype),
            scheduler=DDPMWuerstchenScheduler.from_pretrained(base / "scheduler"),
            vqgan=whole(PaellaVQModel, base / "vqgan", device, dtype),
            encoders=None if parts else _Encoders(_texts(base, device, dtype, whole)),
            config=config,
            colours=_colours(base, device, config),
        )

    def parts(self, pipeline: Any) -> dict[str, nn.Module]:
        return {"prior": pipeline.prior}

    def draw(
        self,
        pipeline: Any,
        settings: DrawSettings,
        seed: int,
        captions: dict[str, torch.Tensor] | None = None,
        progress: Callable[[int, Any], None] | None = None,
    ) -> Image.Image:
        """`settings.steps` are those of the prior; the decoder takes twelve, without guidance."""
        import torch

        from lora_gui.families.shared import drawing
        from lora_gui.families.wuerstchen import stages

        captions = captions or drawing.encoded(self, pipeline.encoders, settings)
        generator = torch.Generator().manual_seed(seed)
        latents = stages.planned(pipeline, settings, captions["text"], generator, progress)
        return stages.decoded(pipeline, latents, captions["decoder_text"][:1], generator)

    def preview(self, pipeline: Any, latents: Any) -> Image.Image:
        from lora_gui.families.shared.preview import picture

        cell = pipeline.config["resolution_multiple"]  # px
        image = picture(latents[0], pipeline.colours)
        return image.resize((round(latents.shape[-1] * cell), round(latents.shape[-2] * cell)))


def _config(base: Path) -> dict[str, float]:
    """Scales of latents and pictures, as the configurations of both pipelines have them."""
    from diffusers import WuerstchenDecoderPipeline, WuerstchenPriorPipeline

    usual = {"latent_mean": 42.0, "latent_std": 1.0, "resolution_multiple": 42.67, "latent_dim_scale": 10.67}
    found = WuerstchenDecoderPipeline.load_config(base) | WuerstchenPriorPipeline.load_config(base / "prior")
    return {name: found.get(name, value) for name, value in usual.items()}


def _texts(base: Path, device: torch.device, dtype: torch.dtype, load: Load) -> dict[str, tuple[Any, Any]]:
    from transformers import AutoTokenizer, CLIPTextModel

    texts = {}
    for name, folder in {"text": base / "prior", "decoder_text": base}.items():
        encoder = load(CLIPTextModel, folder / "text_encoder", device, dtype)
        texts[name] = (AutoTokenizer.from_pretrained(folder / "tokenizer"), encoder)
    return texts


def _prior(base: Path, device: torch.device, dtype: torch.dtype, load: Load) -> Any:
    """Stage C with quick attention, in place of the slow one its class sets up.

    It is told its noise level in fp32 whatever its weights are: in half precision the finer half of that is lost.
    """
    from diffusers.models.attention_processor import AttnProcessor2_0
    from diffusers.pipelines.deprecated.wuerstchen import WuerstchenPrior

    prior = load(WuerstchenPrior, base / "prior" / "prior", device, dtype)
    prior.set_attn_processor(AttnProcessor2_0())
    embedding = prior.gen_r_embedding
    prior.gen_r_embedding = lambda r: embedding(r.float()).to(prior.projection.weight.dtype)
    return prior


def _colours(base: Path, device: torch.device, config: dict[str, float]) -> Any:
    """The colours of latents for previews; the network that makes latents leaves memory again."""
    from lora_gui.families.shared.preview import fitted
    from lora_gui.families.wuerstchen import efficientnet

    eye = efficientnet.load(base / "effnet", device)
    return fitted(lambda px: (efficientnet.encoded(eye, px) + config["latent_std"]) / config["latent_mean"], size=256)


FAMILY = Wuerstchen()
