"""A tiny random base of Stable Diffusion XL, made of the real classes."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from tests.tiny_clip import config, tokenizer

SIZE = 64  # px; latents are 8 x 8


def stable_diffusion_xl(folder: Path, seed: int = 0, blocks: int = 1) -> Path:
    """A StableDiffusionXLPipeline folder; scheduler, both text encoders and the size input are as in the real one, as
    are the `blocks` of a level where they are two."""
    torch.manual_seed(seed)
    words = tokenizer(folder / "vocabulary")
    unet = UNet2DConditionModel(
        sample_size=SIZE // 8,
        block_out_channels=(16, 96),  # its feed-forward layers are large enough to be quantised
        layers_per_block=blocks,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
        attention_head_dim=(2, 4),
        transformer_layers_per_block=(1, 2),
        use_linear_projection=True,
        cross_attention_dim=16 + 24,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=24 + 6 * 8,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        norm_num_groups=8,
        latent_channels=4,
        sample_size=SIZE,
        scaling_factor=0.13025,
    )
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, timestep_spacing="leading"
    )
    StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(config(words, 16)),
        text_encoder_2=CLIPTextModelWithProjection(config(words, 24)),
        tokenizer=words,
        tokenizer_2=words,
        unet=unet,
        scheduler=scheduler,
        add_watermarker=False,
    ).save_pretrained(folder / "base")
    return folder / "base"
