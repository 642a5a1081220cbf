"""OneTrainer's dialect: as kohya's, but always with diffusers' module paths; read only, never written.

For families whose kohya files have diffusers' paths too, its files are kohya files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lora_gui.formats.dialects.dialect import Dialect, Prefixes
from lora_gui.formats.dialects.kohya import SUFFIXES
from lora_gui.formats.naming import is_text

if TYPE_CHECKING:
    from lora_gui.facts import Facts


def _prefixes(facts: Facts) -> Prefixes:
    texts = {part: tuple(f"{one}_" for one in names) for part, names in facts.prefixes.items() if is_text(part)}
    return {"transformer": ("lora_transformer_",), "prior": ("lora_prior_unet_",)} | texts


DIALECT = Dialect(prefixes=_prefixes, suffixes=SUFFIXES, separator="_")
