"""Tell the family and the dialect of a LoRA file by its header alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from lora_gui.errors import UserError
from lora_gui.formats.architecture import said
from lora_gui.formats.header import Header
from lora_gui.formats.leftover import T5, too_much
from lora_gui.formats.lycoris import ROLE, ROLES, role_of
from lora_gui.formats.sizes import told

if TYPE_CHECKING:
    from lora_gui.facts import Facts

_FACTORS = rf"lora_mid\.weight|(?:{'|'.join(ROLES)})(?:\.weight)?"  # of LyCORIS layers
# dialect -> its tensor names: module, then role
DIALECTS = {
    "kohya": rf"lora_(?:unet|te[123]?)_\w+\.(?:lora_(?:down|up)\.weight|alpha|dora_scale|{_FACTORS})",
    "onetrainer": (
        r"lora_(?:transformer|prior_unet|te[123]?)_\w+"
        rf"\.(?:lora_(?:down|up)\.weight|alpha|dora_scale|{_FACTORS})"
    ),
    "comfy": (
        r"(?:diffusion_model|text_encoders)\.[\w.]+"
        rf"\.(?:lora_(?:A|B|down|up)\.weight|alpha|dora_scale|{_FACTORS})"
    ),
    "diffusers": (
        r"(?:unet|transformer|prior|text_encoder(?:_[23])?)\.[\w.]+"
        rf"\.(?:lora_[AB]\.weight|lora_magnitude_vector(?:\.weight)?|alpha|{_FACTORS})"
    ),
}

_OF_CHECKPOINTS = re.compile(r"lora_unet_(input_blocks|middle_block|output_blocks)_")


def identify(header: Header, families: Iterable[Facts]) -> tuple[str, str]:
    """(family key, dialect). Raises UserError where no family of `families` or no known dialect fits."""
    left = {dialect: unplaced(header, dialect) for dialect in DIALECTS}
    dialect = min(left, key=lambda one: len(left[one]))
    if too_much(left[dialect], len(header.tensors)):
        raise UserError(
            "This LoRA names its layers in a way that is not known.", "Ask its maker for a kohya or diffusers version."
        )
    known = {facts.key: facts for facts in families}
    return _family(header, known, said(header.metadata, known)), dialect


def unplaced(header: Header, dialect: str) -> list[str]:
    """The tensors of a file that no layer of any family has in `dialect`, as far as their names tell."""
    return [
        key
        for key, tensor in header.tensors.items()
        if not re.fullmatch(DIALECTS[dialect], key)
        or T5.fullmatch(key)
        or (ROLE.fullmatch(key) and not role_of(key, len(tensor.shape))[0])
    ]


def _family(header: Header, families: dict[str, Facts], named: str) -> str:
    """The family whose layers these are; `named`, which the header names, where no other has more of them."""
    layers = [layer for layer in header.ranks if not T5.fullmatch(layer)] or [*header.ranks]
    fits = {key: sum(_has(facts, layer) for layer in layers) for key, facts in families.items()}
    most = max(fits.values())
    if named and (not families[named].layer_names or fits[named] == most):
        return named
    possible = [families[key] for key, count in fits.items() if count == most and 2 * count > len(layers)]
    key = told(header, families.values())
    if key in {facts.key for facts in possible}:
        return key
    for facts in possible:
        if any(re.search(facts.layer_mark, layer) for layer in layers):
            return facts.key
    if named:
        return named
    raise UserError("This LoRA does not say which kind of base it is for.", "Choose a LoRA made for one of your bases.")


def _has(facts: Facts, layer: str) -> bool:
    """Whether a family has a layer of this name in its files; whose kohya files have diffusers' names has no others."""
    foreign = _OF_CHECKPOINTS.match(layer) and not facts.kohya_has_checkpoint_names
    return bool(facts.layer_names and re.fullmatch(facts.layer_names, layer) and not foreign)
