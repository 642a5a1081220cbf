"""Tiny random bases as one file, written the way the original programs do; and the configurations to read them with."""

import json
import re
from pathlib import Path

import diffusers
import safetensors.torch
import torch
import transformers
from torch import nn

SIZE = 64  # px
_MERGES = ["i n", "t h", "a n", "th e</w>", "r e"]
_VOCABULARY = 2 * 256 + len(_MERGES) + 2
_VAE = {
    "block_out_channels": [8, 8, 8], "down_block_types": ["DownEncoderBlock2D"] * 3, "layers_per_block": 1,
    "up_block_types": ["UpDecoderBlock2D"] * 3, "norm_num_groups": 8, "latent_channels": 4, "sample_size": SIZE,
}  # fmt: skip
_UNET = {
    "sample_size": SIZE // 4, "block_out_channels": [16, 32], "layers_per_block": 1, "norm_num_groups": 8,
    "attention_head_dim": 8,
}  # fmt: skip
_NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


def _text(width: int) -> dict:
    return {
        "vocab_size": _VOCABULARY, "hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": 2,
        "num_attention_heads": 2, "max_position_embeddings": 77, "projection_dim": width, "eos_token_id": 2,
    }  # fmt: skip


def _part(library: str, kind: str, config: dict) -> dict:
    return {"library": library, "class": kind, "config": config}


SD15 = {
    "pipeline": {"class": "StableDiffusionPipeline", "config": {"requires_safety_checker": False}},
    "components": {
        "unet": _part("diffusers", "UNet2DConditionModel", _UNET | {
            "cross_attention_dim": 16, "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
            "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
        }),
        "vae": _part("diffusers", "AutoencoderKL", _VAE),
        "text_encoder": _part("transformers", "CLIPTextModel", _text(16)),
    },
    "scheduler": {"class": "DDIMScheduler", "config": _NOISE},
}  # fmt: skip
SDXL = {
    "pipeline": {"class": "StableDiffusionXLPipeline", "config": {"force_zeros_for_empty_prompt": True}},
    "components": {
        "unet": _part("diffusers", "UNet2DConditionModel", _UNET | {
            "cross_attention_dim": 16 + 24, "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
            "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"], "transformer_layers_per_block": [1, 2],
            "use_linear_projection": True, "addition_embed_type": "text_time", "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 24 + 6 * 8,
        }),
        "vae": _part("diffusers", "AutoencoderKL", _VAE | {"scaling_factor": 0.13025}),
        "text_encoder": _part("transformers", "CLIPTextModel", _text(16)),
        "text_encoder_2": _part("transformers", "CLIPTextModelWithProjection", _text(24)),
    },
    "scheduler": {"class": "EulerDiscreteScheduler", "config": _NOISE},
}  # fmt: skip


def write(folder: Path, like: str, found: dict) -> tuple[Path, dict[str, nn.Module]]:
    """A base in half precision as one file, and its networks; the configurations lie in `folder`/configs."""
    torch.manual_seed(0)
    networks, tensors = {}, {}
    for name, part in found["components"].items():
        kind = getattr(diffusers if part["library"] == "diffusers" else transformers, part["class"])
        config = part["config"]
        network = kind.from_config(config) if part["library"] == "diffusers" else kind(kind.config_class(**config))
        networks[name] = network.half()
        held = network.state_dict()
        if name == "unet":
            place = 1 if like == "sd15" else 2
            tensors |= {f"model.diffusion_model.{_unet_name(key, place)}": value for key, value in held.items()}
        elif name == "vae":
            tensors |= {f"first_stage_model.{vae_name(key)}": as_convolution(key, held[key]) for key in held}
        elif name == "text_encoder":
            first = "cond_stage_model.transformer." if like == "sd15" else "conditioner.embedders.0.transformer."
            tensors |= {f"{first}text_model.{key.removeprefix('text_model.')}": value for key, value in held.items()}
        else:
            tensors |= {f"conditioner.embedders.1.model.{key}": value for key, value in _open_clip(held).items()}
    configs = folder / "configs"
    (configs / "clip").mkdir(parents=True, exist_ok=True)
    (configs / "clip" / "merges.txt").write_text("\n".join(_MERGES) + "\n")
    (configs / f"{like}.json").write_text(json.dumps(found))
    path = folder / "My base.safetensors"
    safetensors.torch.save_file({key: value.contiguous() for key, value in tensors.items()}, path)
    return path, networks


def _unet_name(key: str, upsampler: int) -> str:
    """A layer of a U-Net with one block a level on the way down, as the original calls it; `upsampler` is its place."""
    for own, original in (
        ("time_embedding.linear_1", "time_embed.0"), ("time_embedding.linear_2", "time_embed.2"),
        ("add_embedding.linear_1", "label_emb.0.0"), ("add_embedding.linear_2", "label_emb.0.2"),
        ("conv_in", "input_blocks.0.0"), ("conv_norm_out", "out.0"), ("conv_out", "out.2"),
        ("mid_block.resnets.0", "middle_block.0"), ("mid_block.attentions.0", "middle_block.1"),
        ("mid_block.resnets.1", "middle_block.2"),
    ):  # fmt: skip
        key = re.sub(rf"^{re.escape(own)}\.", f"{original}.", key)
    place = {"resnets": 0, "attentions": 1}
    if found := re.match(r"down_blocks\.(\d)\.(resnets|attentions)\.0\.(.+)", key):
        key = f"input_blocks.{2 * int(found[1]) + 1}.{place[found[2]]}.{found[3]}"
    elif found := re.match(r"down_blocks\.(\d)\.downsamplers\.0\.conv\.(.+)", key):
        key = f"input_blocks.{2 * int(found[1]) + 2}.0.op.{found[2]}"
    elif found := re.match(r"up_blocks\.(\d)\.(resnets|attentions)\.(\d)\.(.+)", key):
        key = f"output_blocks.{2 * int(found[1]) + int(found[3])}.{place[found[2]]}.{found[4]}"
    elif found := re.match(r"up_blocks\.(\d)\.upsamplers\.0\.(.+)", key):
        key = f"output_blocks.{2 * int(found[1]) + 1}.{upsampler}.{found[2]}"
    if re.match(r"(input|output)_blocks\.\d+\.0\.|middle_block\.[02]\.", key):
        for own, original in (
            ("norm1", "in_layers.0"), ("conv1", "in_layers.2"), ("norm2", "out_layers.0"), ("conv2", "out_layers.3"),
            ("time_emb_proj", "emb_layers.1"), ("conv_shortcut", "skip_connection"),
        ):  # fmt: skip
            key = key.replace(f".{own}.", f".{original}.")
    return key


def vae_name(key: str, levels: int = len(_VAE["block_out_channels"])) -> str:
    """A layer of an autoencoder with so many levels of resolution, as the original calls it."""
    for own, original in (
        ("conv_shortcut", "nin_shortcut"), ("conv_norm_out", "norm_out"), ("mid_block.attentions.0", "mid.attn_1"),
        ("mid_block.resnets.0", "mid.block_1"), ("mid_block.resnets.1", "mid.block_2"), ("group_norm", "norm"),
        ("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out"), ("downsamplers.0", "downsample"),
        ("upsamplers.0", "upsample"),
    ):  # fmt: skip
        key = re.sub(rf"(^|\.){re.escape(own)}\.", rf"\1{original}.", key)
    key = re.sub(r"down_blocks\.(\d)\.", r"down.\1.", key)
    key = re.sub(r"up_blocks\.(\d)\.", lambda m: f"up.{levels - 1 - int(m[1])}.", key)
    return re.sub(r"(down|up)\.(\d)\.resnets\.", r"\1.\2.block.", key)


def as_convolution(key: str, value: torch.Tensor) -> torch.Tensor:
    """Attention of the original autoencoder is made of convolutions."""
    return value[..., None, None] if re.search(r"to_(q|k|v|out\.0)\.weight", key) else value


def _open_clip(held: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A text encoder as OpenCLIP has it: q, k and v of a layer as one."""
    found = {"text_projection": held["text_projection.weight"].T}
    for key, value in held.items():
        name = key.removeprefix("text_model.").replace("embeddings.token_embedding", "token_embedding")
        name = name.replace("embeddings.position_embedding.weight", "positional_embedding")
        name = name.replace("final_layer_norm", "ln_final").replace("encoder.layers", "transformer.resblocks")
        for own, original in (("layer_norm1", "ln_1"), ("layer_norm2", "ln_2"), ("mlp.fc1", "mlp.c_fc"),
                              ("mlp.fc2", "mlp.c_proj"), ("self_attn.out_proj", "attn.out_proj")):  # fmt: skip
            name = name.replace(own, original)
        if "self_attn.q_proj" in name:
            three = [held[key.replace("q_proj", f"{one}_proj")] for one in "qkv"]
            found[re.sub(r"self_attn\.q_proj\.(\w+)", r"attn.in_proj_\1", name)] = torch.cat(three)
        elif "self_attn" not in name and key != "text_projection.weight":
            found[name] = value
    return found
