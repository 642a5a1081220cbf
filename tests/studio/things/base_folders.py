"""Bases as small as can be, whole by all that is looked at: real configurations, real headers, sparse files."""

import json
import math
import os
from pathlib import Path

from lora_gui import families

UNET = "model.diffusion_model"
SD15 = {
    f"{UNET}.input_blocks.0.0.weight": (320, 4, 3, 3),
    f"{UNET}.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (320, 768),
    "cond_stage_model.transformer.text_model.embeddings.position_embedding.weight": (77, 768),
    "cond_stage_model.transformer.text_model.embeddings.position_ids": (1, 77),
    "first_stage_model.decoder.conv_in.weight": (512, 4, 3, 3),
}
SDXL = {
    f"{UNET}.input_blocks.0.0.weight": (320, 4, 3, 3),
    f"{UNET}.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight": (640, 2048),
    "conditioner.embedders.0.transformer.text_model.embeddings.position_embedding.weight": (77, 768),
    "conditioner.embedders.1.model.positional_embedding": (77, 1280),
    "first_stage_model.decoder.conv_in.weight": (512, 4, 3, 3),
}
FLUX = {
    "img_in.weight": (3072, 64),
    "guidance_in.in_layer.weight": (3072, 256),
    "double_blocks.0.img_attn.qkv.weight": (9216, 3072),
    "double_blocks.18.img_attn.qkv.weight": (9216, 3072),
    "single_blocks.37.linear1.weight": (21504, 3072),
}
SD35 = {
    "joint_blocks.0.x_block.attn2.qkv.weight": (4608, 1536),
    "joint_blocks.23.x_block.attn.qkv.weight": (4608, 1536),
}
LORA = {"lora_unet_x.lora_down.weight": (4, 320), "lora_unet_x.lora_up.weight": (320, 4)}
CONTROLNET = {"control_model.input_blocks.0.0.weight": (320, 4, 3, 3)}
CLIP_L = {
    "text_model.embeddings.token_embedding.weight": (49408, 768),
    "text_model.embeddings.position_embedding.weight": (77, 768),
}
CLIP_G = {
    "text_model.embeddings.token_embedding.weight": (49408, 1280),
    "text_model.embeddings.position_embedding.weight": (77, 1280),
}
T5 = {
    "shared.weight": (32128, 4096),
    "encoder.block.23.layer.1.DenseReluDense.wi_0.weight": (10240, 4096),
}
VAE4 = {"decoder.conv_in.weight": (512, 4, 3, 3)}
VAE16 = {"decoder.conv_in.weight": (512, 16, 3, 3), "encoder.conv_out.weight": (32, 512, 3, 3)}
_BYTES = {"F8_E4M3": 1, "F16": 2, "F32": 4}


def sparse(path: Path, shapes: dict, dtype: str = "F16", short: int = 0) -> Path:
    """A .safetensors file with the header of a real one, that takes no room on the disk; so many bytes too short."""
    header, end = {}, 0
    for tensor, shape in shapes.items():
        count = _BYTES[dtype] * math.prod(shape)
        header[tensor] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + count]}
        end += count
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    os.truncate(path, 8 + len(text) + end - short)
    return path


def weights(path: Path, shape=(2, 2)) -> Path:
    """A .safetensors file of one tensor."""
    count = 4
    for side in shape:
        count *= side
    text = json.dumps({"w": {"dtype": "F32", "shape": shape, "data_offsets": [0, count]}}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(count))
    return path


def make(folder: Path, like: str = "sd15", **changes: dict) -> Path:
    """The folder of a base with the configuration of the known base `like`, `changes` over those of its parts."""
    said = json.loads(families.configuration(like).read_text())
    index = {"_class_name": said["pipeline"]["class"], "_diffusers_version": "0.42.1"} | said["pipeline"]["config"]
    for name, part in said["components"].items():
        config = {"_class_name": part["class"]} | part["config"] | changes.get(name.replace("/", "_"), {})
        weights(folder / name / ("model.safetensors" if "text" in name else "diffusion_pytorch_model.safetensors"))
        (folder / name / "config.json").write_text(json.dumps(config))
        if "/" not in name and part["library"] != "lora_gui":
            index[name] = [part["library"], part["class"]]
        if name.startswith("text_encoder"):
            tokenizer = name.replace("text_encoder", "tokenizer")
            index[tokenizer] = ["transformers", "CLIPTokenizer"]
            (folder / tokenizer).mkdir()
            (folder / tokenizer / "vocab.json").write_text("{}")
    noise = {"_class_name": said["scheduler"]["class"]} | said["scheduler"]["config"] | changes.get("scheduler", {})
    index |= {"scheduler": ["diffusers", noise["_class_name"]]} | changes.get("pipeline", {})
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(noise))
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder
