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
_MODULATED = 6144  # hidden size of FLUX.2 dev
_OPEN_CLIP_H = 1024  # width of the text encoder of Stable Diffusion 2.x
_READS_IT = re.compile(r"attn2[_.]to_[kv]$|^lora_te_")

Sizes = dict[str, tuple[int, int]]  # inputs and outputs of each module


def told(header: Header, families: Iterable[Facts]) -> str:
    """The key of the family, empty where the sizes do not tell. Raises UserError where they are of a foreign kind."""
    layers = {name: (inputs, outputs) for name, (_, inputs, outputs) in header.sizes.items()}
    known = tuple(families)
    return _by_layers(layers, known) or _by_attention(layers, known) or _by_text(layers, known)


def _by_layers(layers: Sizes, families: tuple[Facts, ...]) -> str:
    """By layers whose inputs and outputs one family alone has."""
    for name, (inputs, outputs) in layers.items():
        if _READS_IT.search(name) and inputs == _OPEN_CLIP_H:
            raise foreign("Stable Diffusion 2.x")
        spelt = name.replace(".", "_")
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
    if width == _MODULATED:
        raise foreign("FLUX.2 dev")
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
