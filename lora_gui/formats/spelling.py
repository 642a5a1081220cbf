"""The names of tensors in the spellings of older and other trainers, brought to those the dialects know."""

from __future__ import annotations

import functools
import re

PEFT = re.compile(r"\bbase_model\.model\.")  # which peft puts before a layer's own name
QKV = ".qkv"  # after a layer that fuses more than these: query, key and value of it alone
_DIFFUSERS = re.compile(r"(unet|transformer|prior|text_encoder(_[23])?)\.")
_HALVES = {"down": "down", "A": "down", "up": "up", "B": "up"}
_KOHYA = {"down": "lora_down.weight", "up": "lora_up.weight", "magnitude": "dora_scale"}
_PEFT = {"down": "lora_A.weight", "up": "lora_B.weight", "magnitude": "lora_magnitude_vector"}
# how names of a network begin where the file does not say which network it is -> what stands before them elsewhere
_BARE = (
    (re.compile(r"(down_blocks|mid_block|up_blocks)\."), "unet."),
    (re.compile(r"transformer_blocks\.\d+\.attn1\.processor\."), "prior."),  # of Kandinsky
    (re.compile(r"(single_)?transformer_blocks\."), "transformer."),
    (re.compile(r"text_model\."), "text_encoder."),
    (re.compile(r"(double_blocks|single_blocks|joint_blocks|input_blocks|middle_block|output_blocks)\."),
     "diffusion_model."),
    (re.compile(r"(layers|noise_refiner|context_refiner|(double|single)_stream_modulation(_img|_txt)?)\."),
     "diffusion_model."),
)  # fmt: skip
# of SimpleTuner's LyCORIS, which adapts the denoiser alone -> as kohya and OneTrainer have it
_LYCORIS = (
    (re.compile(r"lycoris_(?=(down_blocks|mid_block|up_blocks|conv_in|conv_out|time_embedding|add_embedding)[_.])"),
     "lora_unet_"),
    (re.compile(r"lycoris_"), "lora_transformer_"),
)  # fmt: skip
# which network it is, as others say it, -> as it is said with such layers elsewhere
_OTHERWISE = (
    (re.compile(r"diffusion_model\.(?=(single_)?transformer_blocks\.)"), "transformer."),
    # of the Open Model Initiative, as OneTrainer writes in backups and for some families
    (re.compile(r"(unet|transformer)\.(?=((in|out)put_blocks|middle_block|time_embed|label_emb|out|final_layer"
                r"|(double|single|joint)_blocks|(img|txt|vector|guidance|time)_in)\.)"), "diffusion_model."),
    (re.compile(r"(clip_[lg]|t5)\."), r"text_encoders.\1.transformer."),
)  # fmt: skip
_XLABS = re.compile(
    r"diffusion_model\.(double|single)_blocks\.(\d+)\.processor\.(qkv|proj)_lora([12]?)\.(down|up)\.weight"
)
_OF_XLABS = {
    ("double", "1"): {"qkv": "img_attn.qkv", "proj": "img_attn.proj"},
    ("double", "2"): {"qkv": "txt_attn.qkv", "proj": "txt_attn.proj"},
    ("single", ""): {"qkv": f"linear1{QKV}", "proj": "linear2"},
}
_OLD_ATTENTION = re.compile(
    r"(.*?)(?:\.processor)?\.(to_[qkv]|to_out|add_[qkv]_proj|to_add_out)_lora\.(down|up)\.weight"
)
_OLD_HALF = re.compile(r"(.*)\.(?:lora|lora_linear_layer|lora_layer)\.(down|up)\.weight")
_HALF = re.compile(r"(.*)\.lora_(A|B|down|up)\.(?:\w+\.)?weight")  # peft puts the adapter's name between
_MAGNITUDE = re.compile(r"(.*)\.(?:lora_magnitude_vector|dora_scale|magnitude)(?:\.\w+)?(?:\.weight)?")
_LONGEST = 500  # of names that may be spelt otherwise; longer ones are no layer's
_CLIP = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}


@functools.lru_cache(maxsize=1 << 15)  # LoRAs of one family are read one after the other, and name the same layers
def canonical(name: str) -> str:
    """The name of a tensor as its dialect is spelt today; a name that is no old one comes back as it is."""
    if len(name) > _LONGEST:
        return name
    name = PEFT.sub("", name, count=1)
    name = name.removeprefix("model.") if name.startswith("model.diffusion_model.") else name
    name = next((prefix + name for begins, prefix in _BARE if begins.match(name)), name)
    name = next((begins.sub(prefix, name, count=1) for begins, prefix in _OTHERWISE if begins.match(name)), name)
    if name.startswith("lycoris_"):
        name = next(begins.sub(prefix, name, count=1) for begins, prefix in _LYCORIS if begins.match(name))
    if (match := _XLABS.fullmatch(name)) and (of_block := _OF_XLABS.get((match[1], match[4]))):
        return f"diffusion_model.{match[1]}_blocks.{match[2]}.{of_block[match[3]]}.{_KOHYA[match[5]]}"
    if match := _OLD_ATTENTION.fullmatch(name):
        return _spelt(f"{match[1]}.{match[2]}", match[3])
    if match := _OLD_HALF.fullmatch(name) or _HALF.fullmatch(name):
        return _spelt(match[1], _HALVES[match[2]], name)
    if match := _MAGNITUDE.fullmatch(name):
        return _spelt(match[1], "magnitude", name)
    return name


def _spelt(module: str, role: str, name: str = "") -> str:
    """The name of one role of a layer, by the dialect that the module's own name is of."""
    if module.startswith("text_encoder"):
        path, _, last = module.rpartition(".")
        module = f"{path}.{_CLIP.get(last, last)}" if path.endswith("self_attn") else module
    elif module.startswith(("unet.", "prior.")) and module.endswith(".to_out"):
        module += ".0"
    if _DIFFUSERS.match(module):
        return f"{module}.{_PEFT[role]}"
    peft = not module.startswith("lora_") and re.search(r"\.lora_[AB]\.", name)  # ComfyUI's dialect has both
    return f"{module}.{(_PEFT if peft else _KOHYA)[role]}"
