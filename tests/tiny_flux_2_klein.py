"""A tiny random base of FLUX.2 klein, made of the real classes: to train on, or distilled."""

from pathlib import Path

import torch
from diffusers import AutoencoderKLFlux2, FlowMatchEulerDiscreteScheduler, Flux2KleinPipeline, Flux2Transformer2DModel
from transformers import Qwen3Config, Qwen3ForCausalLM

from tests import tiny_qwen3

SIZE = 64  # px; latents are 8 x 8, tokens 4 x 4
WIDTH = 16  # of a state of the text encoder


def flux_2_klein(folder: Path, seed: int = 0, distilled: bool = False) -> Path:
    """A Flux2KleinPipeline folder with one double and two single blocks, and more text layers than are used."""
    torch.manual_seed(seed)
    words = tiny_qwen3.tokenizer()
    transformer = Flux2Transformer2DModel(
        in_channels=128,
        num_layers=1,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=6,  # its single blocks are large enough to be quantised
        joint_attention_dim=3 * WIDTH,
        timestep_guidance_channels=32,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=False,
    )
    vae = AutoencoderKLFlux2(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        norm_num_groups=8,
        latent_channels=32,
        sample_size=SIZE,
    )
    vae.bn.running_mean.normal_()
    vae.bn.running_var.uniform_(0.5, 2)
    text_encoder = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(words), hidden_size=WIDTH, intermediate_size=32, num_hidden_layers=30,
            num_attention_heads=2, num_key_value_heads=1, head_dim=8, tie_word_embeddings=True,
        )
    )  # fmt: skip
    Flux2KleinPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=words,
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        is_distilled=distilled,
    ).save_pretrained(folder / "base")
    return folder / "base"
