"""A tiny random base of FLUX.1, made of the real classes: dev, or schnell."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from transformers import CLIPTextModel, T5Config, T5EncoderModel, T5Tokenizer

from tests.tiny_clip import config, tokenizer

SIZE = 64  # px; latents are 8 x 8, tokens 4 x 4
WIDTH = 32  # of a token's state


def flux_1(folder: Path, seed: int = 0, schnell: bool = False) -> Path:
    """A FluxPipeline folder with one double and two single blocks."""
    torch.manual_seed(seed)
    words = tokenizer(folder / "vocabulary")
    pieces = T5Tokenizer(vocab=_pieces(), extra_ids=0)
    transformer = FluxTransformer2DModel(
        in_channels=64,
        num_layers=1,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=8,  # its feed-forward layers are large enough to be quantised
        joint_attention_dim=WIDTH,
        pooled_projection_dim=16,
        guidance_embeds=not schnell,
        axes_dims_rope=(4, 6, 6),
    )
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
    t5 = T5Config(
        vocab_size=len(pieces), d_model=WIDTH, d_ff=32, d_kv=8, num_layers=2, num_heads=2,
        feed_forward_proj="gated-gelu",
    )  # fmt: skip
    FluxPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(config(words, 16)),
        text_encoder_2=T5EncoderModel(t5),
        tokenizer=words,
        tokenizer_2=pieces,
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0 if schnell else 3.0, use_dynamic_shifting=not schnell),
    ).save_pretrained(folder / "base")
    return folder / "base"


def _pieces() -> list[tuple[str, float]]:
    """Letters only: every word is spelt out."""
    marks = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    return marks + [(chr(n), -3.0) for n in range(33, 127)]
