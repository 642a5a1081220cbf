"""ComfyUI's own dialect: the checkpoint's module paths, `diffusion_model.<path>.lora_down.weight` or `.lora_A.weight`.

Written with lora_down and alpha, which ComfyUI reads for every family; both spellings are read.
"""

from lora_gui.formats.dialects.dialect import Dialect
from lora_gui.formats.peft_settings import alpha_of

_PREFIXES = {
    "unet": "diffusion_model.",
    "transformer": "diffusion_model.",
    "text_encoder": "text_encoders.clip_l.transformer.",
    "text_encoder_2": "text_encoders.clip_g.transformer.",
}

DIALECT = Dialect(
    prefixes=lambda facts: {part: (_PREFIXES[part],) for part in facts.prefixes},
    suffixes={
        "lora_down.weight": "down",
        "lora_up.weight": "up",
        "lora_A.weight": "down",
        "lora_B.weight": "up",
        "alpha": "alpha",
        "dora_scale": "magnitude",
    },
    by_checkpoint=lambda facts: True,
    alpha_of=alpha_of,
)
