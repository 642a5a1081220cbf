"""How much of a LoRA counts in each layer: its strength, by part of the base and by group of blocks."""

from lora_gui.formats.naming import is_text
from lora_gui.settings import StackEntry

TEXT, OTHER = "text_encoder", "other"
GROUPS = {"down_blocks": "down", "mid_block": "middle", "up_blocks": "up"}  # of a U-Net, by the path's beginning
OF_GROUP = {TEXT: "text_strength", **{group: group for group in GROUPS.values()}, OTHER: "strength"}  # in StackEntry


def group_of(name: str) -> str:
    """Which group a layer is in, by part and module path: text_encoder, down, middle, up or other."""
    part, _, path = name.partition(".")
    return TEXT if is_text(part) else GROUPS.get(path.partition(".")[0], OTHER)


def strength_in(entry: StackEntry, name: str) -> float:
    """The strength of a LoRA in a layer, by part and module path."""
    group = group_of(name)
    if group == TEXT:
        return entry.strength if entry.text_strength is None else entry.text_strength
    shares = {"down": entry.down, "middle": entry.middle, "up": entry.up}
    return entry.strength * shares.get(group, 1.0)


def counts(entry: StackEntry) -> bool:
    """Whether any of a LoRA is used."""
    return bool(entry.strength or entry.text_strength)
