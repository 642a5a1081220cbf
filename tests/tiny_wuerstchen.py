"""A tiny random base of Wuerstchen, made of the real classes; the network that looks at pictures has its real size."""

from pathlib import Path

import safetensors.torch
import torch
from diffusers import DDPMWuerstchenScheduler, WuerstchenDecoderPipeline, WuerstchenPriorPipeline
from diffusers.pipelines.deprecated.wuerstchen import PaellaVQModel, WuerstchenDiffNeXt, WuerstchenPrior
from transformers import CLIPTextModel

from lora_gui.families.wuerstchen.efficientnet import EfficientNet
from tests import tiny_clip


def wuerstchen(folder: Path, seed: int = 0) -> Path:
    """A WuerstchenDecoderPipeline folder and in it `prior` and `effnet`. A cell of the prior stands for 32 px here."""
    torch.manual_seed(seed)
    words = tiny_clip.tokenizer(folder / "vocabulary")
    decoder = WuerstchenDiffNeXt(
        c_r=8,
        c_cond=16,
        c_hidden=[16, 32],
        nhead=[-1, 2],
        blocks=[1, 1],
        level_config=["CT", "CTA"],
        inject_effnet=[False, True],
        clip_embd=16,
        dropout=0.0,
    )
    vqgan = PaellaVQModel(embed_dim=16, bottleneck_blocks=1, num_vq_embeddings=16)
    for weight in (*decoder.parameters(), *vqgan.parameters()):
        if not weight.any():  # fresh networks are shut in places
            weight.data.normal_(std=0.1)
    prior = WuerstchenPrior(c=128, c_cond=16, c_r=8, depth=2, nhead=2)  # large enough to be quantised
    base = folder / "base"
    WuerstchenDecoderPipeline(
        tokenizer=words,
        text_encoder=CLIPTextModel(tiny_clip.config(words, 16)),
        decoder=decoder,
        scheduler=DDPMWuerstchenScheduler(),
        vqgan=vqgan,
        latent_dim_scale=8.0,
    ).save_pretrained(base)
    WuerstchenPriorPipeline(
        tokenizer=words,
        text_encoder=CLIPTextModel(tiny_clip.config(words, 16)),
        prior=prior,
        scheduler=DDPMWuerstchenScheduler(),
        resolution_multiple=32.0,
    ).save_pretrained(base / "prior")
    (base / "effnet").mkdir()
    weights = {
        key: value.half() if value.is_floating_point() else value for key, value in EfficientNet().state_dict().items()
    }
    safetensors.torch.save_file(weights, base / "effnet" / "diffusion_pytorch_model.safetensors")
    return base
