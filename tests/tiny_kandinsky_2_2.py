"""A tiny random base of Kandinsky 2.2, made of the real classes: the decoder's folder with the prior's in it."""

from pathlib import Path

import torch
from diffusers import (
    DDPMScheduler,
    KandinskyV22Pipeline,
    KandinskyV22PriorPipeline,
    PriorTransformer,
    UnCLIPScheduler,
    UNet2DConditionModel,
    VQModel,
)
from transformers import (
    CLIPImageProcessorPil,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from tests import tiny_clip

EMBEDDING = 16  # wide


def kandinsky_2_2(folder: Path, seed: int = 0) -> Path:
    """A KandinskyV22Pipeline folder and in it, as `prior`, a KandinskyV22PriorPipeline folder."""
    torch.manual_seed(seed)
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        norm_num_groups=8,
        attention_head_dim=8,
        cross_attention_dim=16,
        addition_embed_type="image",
        encoder_hid_dim=EMBEDDING,
        encoder_hid_dim_type="image_proj",
        resnet_time_scale_shift="scale_shift",
        time_embedding_dim=1024,  # what it goes through is large enough to be quantised
    )
    movq = VQModel(
        block_out_channels=(32, 32, 32, 32),  # its norm has 32 groups
        down_block_types=("DownEncoderBlock2D",) * 3 + ("AttnDownEncoderBlock2D",),
        up_block_types=("AttnUpDecoderBlock2D",) + ("UpDecoderBlock2D",) * 3,
        latent_channels=4,
        num_vq_embeddings=16,
        vq_embed_dim=4,
        norm_num_groups=8,
        norm_type="spatial",
    )
    scheduler = DDPMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        variance_type="learned_range",
        clip_sample=True,
        clip_sample_range=2.0,
        thresholding=True,
    )
    KandinskyV22Pipeline(unet=unet, movq=movq, scheduler=scheduler).save_pretrained(folder / "base")
    _prior(folder).save_pretrained(folder / "base" / "prior")
    return folder / "base"


def _prior(folder: Path) -> KandinskyV22PriorPipeline:
    words = tiny_clip.tokenizer(folder / "vocabulary")
    prior = PriorTransformer(
        num_attention_heads=8,  # its feed-forward layers are large enough to be quantised
        attention_head_dim=16,
        num_layers=2,
        embedding_dim=EMBEDDING,
        num_embeddings=tiny_clip.LENGTH,
    )
    prior.clip_mean.data.normal_()
    prior.clip_std.data.uniform_(0.5, 1.5)
    eye = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=32,
        patch_size=8, projection_dim=EMBEDDING,
    )  # fmt: skip
    return KandinskyV22PriorPipeline(
        prior=prior,
        image_encoder=CLIPVisionModelWithProjection(eye),
        text_encoder=CLIPTextModelWithProjection(tiny_clip.config(words, EMBEDDING)),
        tokenizer=words,
        scheduler=UnCLIPScheduler(
            variance_type="fixed_small_log", clip_sample_range=10.0, prediction_type="sample"
        ),
        image_processor=CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
    )
