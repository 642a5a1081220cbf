"""Tell the family of a LoRA file by the sizes of its layers, where several families name them alike."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lora_gui.facts import Facts
from lora_gui.formats.architecture import foreign
from lora_gui.formats.header import Header

_ATTENTION = re.compile(
    r"(?<!single_)transformer_blocks[_.](\d+)[_.]attn[_.](?:to_[qkv]|add_[qkv]_proj|to_out[_.]0|to_add_out)"
    r"|(?:double|joint)_blocks[_.](\d+)[_.](?:img|txt)_attn[_.](?:qkv|proj)"
)
# layers (a regular expression over names with _), their inputs (0 for any), and the kind that alone has such ones
_FOREIGN = (
    (r"attn2_to_[kv]$|^lora_te_", 1024, "Stable Diffusion 2.x"),
    (r"attn2_to_[kv]$", 1280, "the SDXL refiner"),
    (r"(transformer|double|single)_blocks_\d+_(attn_(to|add)_|(img|txt)_attn_|linear1)", 6144, "FLUX.2 dev"),
    (r"single_(transformer_)?blocks_3[89]_|double_blocks_19_", 3072, "Hunyuan Video"),  # FLUX.1 ends before these
    (r"transformer_transformer_blocks_\d+_attn1_", 0, "PixArt, Sana, LTX-Video or CogVideo"),
    (r"layers_\d+_(attention|feed_forward)_", 2304, "Lumina"),
    (r"distilled_guidance_layer_", 0, "Chroma"),  # else as FLUX.1
    (r"motion_modules_|temporal_transformer_blocks_", 0, "AnimateDiff or Stable Video Diffusion"),
)

Sizes = dict[str, tuple[int, int]]  # inputs and outputs of each module


def told(header: Header, families: Iterable[Facts]) -> str:
    """The key of the family, empty where the sizes do not tell. Raises UserError where they are of a foreign kind."""
    layers = {name: (inputs, outputs) for name, (_, inputs, outputs) in header.sizes.items()}
    known = tuple(families)
    return _by_layers(layers, known) or _by_attention(layers, known) or _by_text(layers, known)


def _by_layers(layers: Sizes, families: tuple[Facts, ...]) -> str:
    """By layers whose inputs and outputs one family alone has."""
    spelt_layers = {name.replace(".", "_"): size for name, size in layers.items()}
    for pattern, wanted, title in _FOREIGN:
        if any(inputs == (wanted or inputs) and re.search(pattern, name) for name, (inputs, _) in spelt_layers.items()):
            raise foreign(title)
    for spelt, (inputs, outputs) in spelt_layers.items():
        for facts in families:
            for pattern, sizes in facts.layer_sizes.items():
                if ((inputs, outputs) in sizes or (inputs, 0) in sizes) and re.search(pattern, spelt):
                    return facts.key
    return ""


def _by_attention(layers: Sizes, families: tuple[Facts, ...]) -> str:
    """By the hidden size and the number of blocks of transformers with joint attention."""
    found = [(match[1] or match[2], layers[name][0]) for name in layers if (match := _ATTENTION.search(name))]
    blocks, widths = {int(block[:4]) for block, _ in found if block}, {width for _, width in found}
    if len(widths) != 1:
        return ""
    width = widths.pop()
    wide = sorted((facts for facts in families if width in facts.joint_blocks), key=lambda f: f.joint_blocks[width])
    if len(wide) < 2:
        return wide[0].key if wide else ""
    if any("single" in name for name in layers):
        return ""  # the names of the single blocks tell
    most = wide[-1]
    if blocks and max(blocks) >= most.joint_blocks[width]:
        raise foreign("Qwen-Image")
    exactly = (facts for facts in wide if blocks == {*range(facts.joint_blocks[width])})  # every block and no other
    return next(exactly, most).key


def _by_text(layers: Sizes, families: tuple[Facts, ...]) -> str:
    """By the text encoders where nothing else is changed; the family that most of them tell of."""
    if not all(re.match(r"lora_te\d?_|text_encoder", name) for name in layers):
        return ""
    told_of = [one for one in families if one.texts_alone and any(re.match(one.texts_alone, name) for name in layers)]
    return max(told_of, key=lambda facts: facts.texts_tell).key if told_of else ""
