"""What LoRAs have to have in common to be used together."""

from __future__ import annotations

from pathlib import Path

from lora_gui import families
from lora_gui.errors import UserError
from lora_gui.studio.things import loras


def check_one_family(paths: list[Path], to_be: str) -> list[loras.LoraInfo]:
    """What each LoRA says of itself. Raises UserError where they are for several families of bases."""
    known = [loras.describe(path) for path in paths]
    if len({one.family for one in known}) > 1:
        told = ", ".join(f"{one.name} is for {families.facts_of(one.family).title}" for one in known)
        raise UserError(f"LoRAs for different families cannot be {to_be}: {told}.", "Choose those of one family.")
    return known
