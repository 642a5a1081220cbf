"""Publish the trained networks as a diffusers pipeline in fp16, its folder replaced whole."""

import json
import os
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from safetensors.torch import load_file, save_file

from lora_gui.starter.recipe.denoiser import Denoiser


def pipeline(vae: AutoencoderKL, denoiser: Denoiser) -> StableDiffusionPipeline:
    """The trained parts as diffusers' own pipeline, without a safety checker."""
    return StableDiffusionPipeline(
        vae=vae, text_encoder=denoiser.text_encoder, tokenizer=denoiser.tokenizer, unet=denoiser.unet,
        scheduler=denoiser.scheduler, safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def publish(vae: AutoencoderKL, denoiser: Denoiser, folder: Path) -> None:
    """Write the model to `folder`, whose former content goes away only once the new one is whole."""
    partial, former = folder.with_name(folder.name + ".part"), folder.with_name(folder.name + ".former")
    for left in (partial, former):
        shutil.rmtree(left, ignore_errors=True)
    pipeline(vae, denoiser).save_pretrained(partial, safe_serialization=True)
    for weights in partial.rglob("*.safetensors"):
        half = {name: tensor.to(torch.float16).contiguous() for name, tensor in load_file(weights).items()}
        save_file(half, weights, metadata={"format": "pt"})
        weights.chmod(0o644)
    for config in partial.rglob("config.json"):
        facts = json.loads(config.read_text(encoding="utf-8"))
        facts.pop("_name_or_path", None)
        config.write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    if folder.exists():
        os.replace(folder, former)
    os.replace(partial, folder)
    shutil.rmtree(former, ignore_errors=True)
