"""Tell the family of a LoRA file by the sizes of its layers, where several families name them alike."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lora_gui.formats.architecture import foreign
from lora_gui.formats.header import Header
from lora_gui.formats.leftover import T5

_ATTENTION = re.compile(
    r"(?<!single_)transformer_blocks[_.](\d+)[_.]attn[_.](?:to_[qkv]|add_[qkv]_proj|to_out[_.]0|to_add_out)"
    r"|(?:double|joint)_blocks[_.](\d+)[_.](?:img|txt)_attn[_.](?:qkv|proj)"
)
_WIDTHS = {1536: "sd3", 2432: "sd3", 4096: "klein", 3072: "flux1"}  # hidden size of transformers with joint attention
_MODULATED = 6144  # hidden size of FLUX.2 dev
_FLUX_BLOCKS, _KLEIN_BLOCKS = 19, 5  # double blocks of FLUX.1, and of klein 4B, which is as wide
_CONTEXT = {768: "sd1", 2048: "sdxl"}  # what cross-attention of U-Nets reads
_OPEN_CLIP_H = 1024  # width of the text encoder of Stable Diffusion 2.x
_CROSS = re.compile(r"attn2[_.]to_[kv]$")
# layers of the feed-forward networks and single blocks -> (inputs, outputs) there, 0 for any
_MLP = {
    r"(img_mlp_0|txt_mlp_0|ff(_context)?_net_0_proj)$": {(3072, 12288): "flux1", (3072, 18432): "klein"},
    r"(img_mlp_2|txt_mlp_2|ff(_context)?_net_2)$": {(12288, 3072): "flux1", (9216, 3072): "klein"},
    r"single_blocks_\d+_linear1$": {(3072, 21504): "flux1", (3072, 27648): "klein", (4096, 36864): "klein"},
    r"single_blocks_\d+_linear2$": {(15360, 3072): "flux1", (12288, 3072): "klein", (16384, 4096): "klein"},
}


def told(header: Header) -> str:
    """The key of the family, empty where the sizes do not tell. Raises UserError where they are of a foreign kind."""
    layers = dict(_layers(header))
    for name, (inputs, _) in layers.items():
        if _CROSS.search(name) and inputs in _CONTEXT:
            return _CONTEXT[inputs]
        if (_CROSS.search(name) or re.match(r"lora_te_", name)) and inputs == _OPEN_CLIP_H:
            raise foreign("Stable Diffusion 2.x")
    for name, sizes in layers.items():
        spelt = name.replace(".", "_")
        for pattern, known in _MLP.items():
            if sizes in known and re.search(pattern, spelt):
                return known[sizes]
    return _by_attention(layers) or _by_text(layers)


def _layers(header: Header) -> Iterator[tuple[str, tuple[int, int]]]:
    """Every module with its input and output features."""
    for name, (_, inputs, outputs) in header.sizes.items():
        yield name, (inputs, outputs)


def _by_attention(layers: dict[str, tuple[int, int]]) -> str:
    """By the hidden size and the number of blocks of transformers with joint attention."""
    found = [(match[1] or match[2], layers[name][0]) for name in layers if (match := _ATTENTION.search(name))]
    blocks, widths = {int(block[:4]) for block, _ in found if block}, {width for _, width in found}
    if len(widths) != 1:
        return ""
    width = widths.pop()
    alone = not any("single" in name for name in layers)
    if width == _MODULATED:
        raise foreign("FLUX.2 dev")
    if width == 3072 and alone and blocks and max(blocks) >= _FLUX_BLOCKS:
        raise foreign("Qwen-Image")
    if width == 3072 and not alone:
        return ""  # the names of the single blocks tell
    if width == 3072 and blocks == {*range(_KLEIN_BLOCKS)}:  # every double block of klein 4B and no other
        return "klein"
    return _WIDTHS.get(width, "")


def _by_text(layers: dict[str, tuple[int, int]]) -> str:
    """By the text encoders where nothing else is changed: kohya's trainers call the only one of 1.x `te`, not `te1`."""
    if not all(re.match(r"lora_te\d?_|text_encoder", name) for name in layers):
        return ""
    t5 = {name for name in layers if T5.fullmatch(name)}
    if t5:
        return "flux1" if any(re.match(r"lora_te2_|text_encoder_2\.", name) for name in t5) else "sd3"
    two = any(re.match(r"lora_te[12]_|text_encoder_2\.|text_encoders\.clip_g", name) for name in layers)
    return "sdxl" if two else "sd1"
