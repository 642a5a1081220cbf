"""The kohya dialect: `lora_unet_<path with _>.lora_down.weight`, `.lora_up.weight`, `.alpha`, `.dora_scale`.

A1111, Forge, ComfyUI and diffusers read it. Some families have the checkpoint's module paths in it, others those of
diffusers.
"""

from lora_gui.formats.dialects.dialect import Dialect

SUFFIXES = {"lora_down.weight": "down", "lora_up.weight": "up", "alpha": "alpha", "dora_scale": "magnitude"}

DIALECT = Dialect(
    prefixes=lambda facts: {part: tuple(f"{one}_" for one in names) for part, names in facts.prefixes.items()},
    suffixes=SUFFIXES,
    separator="_",
    by_checkpoint=lambda facts: facts.kohya_has_checkpoint_names,
)
