"""Tiny random bases of the real classes, and small coloured pictures to train on; the same each time."""

import json
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from lora_gui.families.stable_diffusion_1.model import StableDiffusion1
from lora_gui.protocol.jobs import Base, TrainJob, TrainPicture
from lora_gui.settings import TrainSettings

SIZE = 64  # px; latents are 8 x 8
T = TypeVar("T")


def outcome(work: Generator[Any, None, T]) -> tuple[T, list[Any]]:
    """What a stream of events returns at its end, and the events."""
    events: list[Any] = []
    while True:
        try:
            events.append(next(work))
        except StopIteration as end:
            return end.value, events


class QuickStableDiffusion1(StableDiffusion1):
    """The family as it is, but its drawings take two steps."""

    facts = replace(StableDiffusion1.facts, draw_defaults={"width": SIZE, "height": SIZE, "steps": 2, "guidance": 4.0})


def stable_diffusion_1(folder: Path, seed: int = 0, prediction: str = "v_prediction", width: int = 96) -> Path:
    """A StableDiffusionPipeline folder that draws noise, but by all the real steps; its feed-forward layers are large
    enough to be quantised."""
    torch.manual_seed(seed)
    unet = UNet2DConditionModel(
        sample_size=SIZE // 8,
        block_out_channels=(16, width),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
        attention_head_dim=8,
        cross_attention_dim=16,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        norm_num_groups=8,
        latent_channels=4,
        sample_size=SIZE,
    )
    tokenizer = _tokenizer(folder / "vocabulary")
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=2,
            num_attention_heads=2, max_position_embeddings=16, projection_dim=16,
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        )
    )  # fmt: skip
    scheduler = DDIMScheduler(
        prediction_type=prediction, timestep_spacing="trailing", clip_sample=False, beta_schedule="scaled_linear",
        steps_offset=1,
    )  # fmt: skip
    StableDiffusionPipeline(
        vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, unet=unet, scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(folder / "base")  # fmt: skip
    return folder / "base"


def _tokenizer(folder: Path) -> CLIPTokenizer:
    """Letters only: every word is spelt out."""
    folder.mkdir(parents=True, exist_ok=True)
    letters = [chr(n) for n in range(33, 127)]
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    (folder / "vocab.json").write_text(json.dumps({word: n for n, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(
        vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"), model_max_length=16,
        bos_token="<|startoftext|>", eos_token="<|endoftext|>", unk_token="<|endoftext|>", pad_token="<|endoftext|>",
    )  # fmt: skip


def pictures(folder: Path, count: int = 4, size: tuple[int, int] = (SIZE, SIZE)) -> tuple[TrainPicture, ...]:
    """Plain colours with a lighter half, each with a caption."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for n in range(count):
        image = Image.new("RGB", size, ((n * 60) % 256, 40, 200 - 40 * n))
        image.paste((255, 255, (n * 30) % 256), (0, 0, size[0] // 2, size[1]))
        image.save(folder / f"{n:04}.png")
        made.append(TrainPicture(path=str(folder / f"{n:04}.png"), caption=f"thing {n}"))
    return tuple(made)


def job(folder: Path, base: Path | None = None, **settings: object) -> TrainJob:
    """A run of a few steps on a tiny base; `settings` go over quick ones."""
    base = base or stable_diffusion_1(folder)
    quick = {
        "rank": 4, "alpha": 4, "steps": 4, "learning_rate": 1e-2, "batch_size": 2, "resolution": SIZE,
        "precision": "fp32", "scheduler": "constant", "sample_every": 0, "checkpoint_every": 2,
        "sample_prompts": ("zxy thing 0",),
    }  # fmt: skip
    return TrainJob(
        name="tiny",
        trigger="zxy",
        preset="style",
        base=Base(key="tiny", title="Tiny", family="sd1", path=str(base)),
        pictures=pictures(folder / "pictures"),
        settings=TrainSettings(**(quick | settings)),
        publish_to=str(folder / "loras"),
        cache=str(folder / "cache"),
    )
