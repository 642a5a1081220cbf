"""What the original programs call the layers, where families share it; `formats/naming.py` says how these are read."""

from lora_gui.facts import SWAPPED, CheckpointNames

_BLOCKS_OF_LEVEL = 2  # pairs of ResNet and attention on the way down, in all U-Nets of Stable Diffusion; one more up
_RESNET = {
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_ATTENTION = (
    "proj_in",
    "proj_out",
    *(f"transformer_blocks.#.attn{n}.{name}" for n in (1, 2) for name in ("to_q", "to_k", "to_v", "to_out.0")),
    "transformer_blocks.#.ff.net.0.proj",
    "transformer_blocks.#.ff.net.2",
)


def unet(levels: int, first_up_has_attention: bool) -> CheckpointNames:
    """The U-Net's layers; it has so many levels of resolution."""
    found: CheckpointNames = {
        "time_embed.0": ("time_embedding.linear_1",),
        "time_embed.2": ("time_embedding.linear_2",),
        "label_emb.0.0": ("add_embedding.linear_1",),
        "label_emb.0.2": ("add_embedding.linear_2",),
        "input_blocks.0.0": ("conv_in",),
        "out.2": ("conv_out",),
    }
    middle = {"0": "resnets.0", "1": "attentions.0", "2": "resnets.1"}
    blocks = {f"middle_block.{original}": f"mid_block.{own}" for original, own in middle.items()}
    down, up = _BLOCKS_OF_LEVEL, _BLOCKS_OF_LEVEL + 1
    for level in range(levels):
        for kind, name in enumerate(("resnets", "attentions")):
            for n in range(down):
                blocks[f"input_blocks.{level * up + n + 1}.{kind}"] = f"down_blocks.{level}.{name}.{n}"
            for n in range(up):
                blocks[f"output_blocks.{level * up + n}.{kind}"] = f"up_blocks.{level}.{name}.{n}"
        found[f"input_blocks.{(level + 1) * up}.0.op"] = (f"down_blocks.{level}.downsamplers.0.conv",)
        place = 2 if level or first_up_has_attention else 1
        found[f"output_blocks.{level * up + down}.{place}.conv"] = (f"up_blocks.{level}.upsamplers.0.conv",)
    for original, own in blocks.items():
        layers = {layer: layer for layer in _ATTENTION} if "attentions" in own else _RESNET
        found |= {f"{original}.{theirs}": (f"{own}.{ours}",) for theirs, ours in layers.items()}
    return found


# of FLUX.1 and FLUX.2 alike
STREAMS: CheckpointNames = {
    "double_blocks.#.img_attn.qkv": tuple(f"transformer_blocks.#.attn.to_{one}" for one in "qkv"),
    "double_blocks.#.txt_attn.qkv": tuple(f"transformer_blocks.#.attn.add_{one}_proj" for one in "qkv"),
    "double_blocks.#.img_attn.proj": ("transformer_blocks.#.attn.to_out.0",),
    "double_blocks.#.txt_attn.proj": ("transformer_blocks.#.attn.to_add_out",),
    "img_in": ("x_embedder",),
    "txt_in": ("context_embedder",),
    "final_layer.linear": ("proj_out",),
    "final_layer.adaLN_modulation.1": (f"norm_out.linear{SWAPPED}",),
}
