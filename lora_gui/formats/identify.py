"""Tell the family and the dialect of a LoRA file by its header alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from lora_gui.errors import UserError
from lora_gui.formats.header import DOWN, Header

if TYPE_CHECKING:
    from lora_gui.facts import Facts

# dialect -> its tensor names: module, then role
DIALECTS = {
    "kohya": r"lora_(?:unet|te[123]?)_\w+\.(?:lora_down\.weight|lora_up\.weight|alpha|dora_scale)",
    "onetrainer": r"lora_(?:transformer|prior_unet|te[123]?)_\w+\.(?:lora_(?:down|up)\.weight|alpha|dora_scale)",
    "comfy": r"(?:diffusion_model|text_encoders)\.[\w.]+\.(?:lora_(?:A|B|down|up)\.weight|alpha|dora_scale)",
    "diffusers": (
        r"(?:unet|transformer|prior|text_encoder(?:_[23])?)\.[\w.]+"
        r"\.(?:lora_[AB]\.weight|lora_magnitude_vector(?:\.weight)?|alpha)"
    ),
}


def identify(header: Header, families: Iterable[Facts]) -> tuple[str, str]:
    """(family key, dialect). Raises UserError where no family of `families` or no known dialect fits."""
    dialect = next(
        (d for d, names in DIALECTS.items() if all(re.fullmatch(names, key) for key in header.tensors)), None
    )
    if dialect is None:
        raise UserError(
            "This LoRA names its layers in a way that is not known.", "Ask its maker for a kohya or diffusers version."
        )
    families = tuple(families)
    named = header.metadata.get("modelspec.architecture", ""), header.metadata.get("ss_base_model_version", "")
    for facts in families:
        spelt = [facts.named(base) for base in ("", *(known.key for known in facts.bases))]
        if any(architecture == named[0] or (not named[0] and version == named[1]) for architecture, version in spelt):
            return facts.key, dialect
    if any(named):
        raise UserError(
            f"This LoRA is for another kind of base ({(named[0] or named[1])[:60]}).",
            "Choose a LoRA made for one of your bases.",
        )
    layers = [match[1] for name in header.tensors if (match := DOWN.fullmatch(name))]
    for facts in families:
        known = facts.layer_names and all(re.fullmatch(facts.layer_names, layer) for layer in layers)
        if known and any(re.search(facts.layer_mark, layer) for layer in layers):
            return facts.key, dialect
    raise UserError("This LoRA does not say which kind of base it is for.", "Choose a LoRA made for one of your bases.")
