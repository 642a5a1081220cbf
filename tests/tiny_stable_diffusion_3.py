"""A tiny random base of Stable Diffusion 3.5, made of the real classes, with T5 or without."""

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)
from transformers import CLIPTextModelWithProjection, T5Config, T5EncoderModel, T5Tokenizer

from tests.tiny_clip import config, tokenizer

SIZE = 64  # px; latents are 8 x 8
WIDTH = 48  # of a token's state


def stable_diffusion_3(folder: Path, seed: int = 0, t5: bool = True) -> Path:
    """A StableDiffusion3Pipeline folder; the first block has the second attention that medium has."""
    torch.manual_seed(seed)
    words = tokenizer(folder / "vocabulary")
    transformer = SD3Transformer2DModel(
        sample_size=SIZE // 8,
        patch_size=2,
        in_channels=16,
        out_channels=16,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=8,  # its feed-forward layers are large enough to be quantised
        joint_attention_dim=WIDTH,
        caption_projection_dim=128,
        pooled_projection_dim=16 + 24,
        pos_embed_max_size=8,
        dual_attention_layers=(0,),
        qk_norm="rms_norm",
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        norm_num_groups=8,
        latent_channels=16,
        sample_size=SIZE,
        scaling_factor=1.5305,
        shift_factor=0.0609,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    pieces = T5Tokenizer(vocab=_pieces(), extra_ids=0) if t5 else None
    StableDiffusion3Pipeline(
        vae=vae,
        text_encoder=CLIPTextModelWithProjection(config(words, 16)),
        text_encoder_2=CLIPTextModelWithProjection(config(words, 24)),
        text_encoder_3=_t5(len(pieces)) if pieces else None,
        tokenizer=words,
        tokenizer_2=words,
        tokenizer_3=pieces,
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    ).save_pretrained(folder / "base")
    return folder / "base"


def _t5(vocabulary: int) -> T5EncoderModel:
    return T5EncoderModel(
        T5Config(
            vocab_size=vocabulary, d_model=WIDTH, d_ff=32, d_kv=8, num_layers=2, num_heads=2,
            feed_forward_proj="gated-gelu", dropout_rate=0.1,
        )
    )  # fmt: skip


def _pieces() -> list[tuple[str, float]]:
    """Letters only: every word is spelt out."""
    marks = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    return marks + [(chr(n), -3.0) for n in range(33, 127)]
