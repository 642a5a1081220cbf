"""A tiny random base of Z-Image, made of the real classes: to train on, or distilled."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, ZImagePipeline, ZImageTransformer2DModel
from transformers import Qwen3Config, Qwen3Model

from tests import tiny_qwen3

SIZE = 64  # px; latents are 8 x 8, tokens 4 x 4
WIDTH = 16  # of a state of the text encoder


def z_image(folder: Path, seed: int = 0, distilled: bool = False) -> Path:
    """A ZImagePipeline folder with two layers and one refiner each, and as many text layers as the real one."""
    torch.manual_seed(seed)
    words = tiny_qwen3.tokenizer()
    transformer = ZImageTransformer2DModel(
        in_channels=16,
        dim=128,  # large enough to be quantised
        n_layers=2,
        n_refiner_layers=1,
        n_heads=8,
        n_kv_heads=8,
        cap_feat_dim=WIDTH,
        axes_dims=[4, 6, 6],
        axes_lens=[1024, 32, 32],
    )
    for token in (transformer.x_pad_token, transformer.cap_pad_token):
        token.data.normal_()
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        norm_num_groups=8,
        latent_channels=16,
        sample_size=SIZE,
        scaling_factor=0.3611,
        shift_factor=0.1159,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    text_encoder = Qwen3Model(
        Qwen3Config(
            vocab_size=len(words), hidden_size=WIDTH, intermediate_size=32, num_hidden_layers=36,
            num_attention_heads=2, num_key_value_heads=1, head_dim=8,
        )
    )  # fmt: skip
    ZImagePipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=words,
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0 if distilled else 6.0),
    ).save_pretrained(folder / "base")
    return folder / "base"
