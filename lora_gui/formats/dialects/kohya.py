"""The kohya dialect: `lora_unet_<path with _>.lora_down.weight`, `.lora_up.weight`, `.alpha`, `.dora_scale`.

A1111, Forge, ComfyUI and diffusers read it. Some families have the original's names in it, others their own.
"""

from lora_gui.formats.dialects.dialect import Dialect

ENDINGS = {"lora_down.weight": "down", "lora_up.weight": "up", "alpha": "alpha", "dora_scale": "magnitude"}

DIALECT = Dialect(
    prefixes=lambda facts: {part: tuple(f"{one}_" for one in names) for part, names in facts.prefixes.items()},
    endings=ENDINGS,
    joint="_",
    originals=lambda facts: facts.kohya_has_originals,
)
