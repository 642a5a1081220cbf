"""Names of layers: module paths of the base, of the original checkpoint, and in LoRA files. Knows no tensor."""

import re
from collections.abc import Iterable

PARTS = ("unet", "transformer", "prior", "text_encoder", "text_encoder_2")
TEXT_LAYERS = (
    *(f"text_model.encoder.layers.#.self_attn.{layer}" for layer in ("q_proj", "k_proj", "v_proj", "out_proj")),
    *(f"text_model.encoder.layers.#.mlp.{layer}" for layer in ("fc1", "fc2")),
    "text_projection",
)
_NUMBER = re.compile(r"\d+")
_BLANK = re.compile(r"\d+|#")
_TEXT_MODEL = "text_model."  # in paths of text encoders: transformers 5 lost it for some, files have it always


class Translation:
    """A mapping from names to names by patterns; what matches none maps to ()."""

    def __init__(self, pairs: Iterable[tuple[str, tuple[str, ...]]]) -> None:
        """`pairs` of patterns, `#` standing for a number, the same ones in the same order on both sides."""
        self._exact: dict[str, tuple[str, ...]] = {}
        self._patterns: dict[str, list[tuple[list[str], tuple[str, ...]]]] = {}  # with the numbers of each, or `#`
        for source, targets in pairs:
            if "#" not in source:
                self._exact.setdefault(source, targets)
                continue
            self._patterns.setdefault(_NUMBER.sub("#", source), []).append((_BLANK.findall(source), targets))

    def of(self, name: str) -> tuple[str, ...]:
        """What `name` maps to: several names where it is fused, none where it is unknown."""
        if name in self._exact:
            return self._exact[name]
        numbers = _NUMBER.findall(name)
        for blanks, targets in self._patterns.get(_NUMBER.sub("#", name), ()):
            if len(blanks) == len(numbers) and all(own in ("#", n) for own, n in zip(blanks, numbers, strict=True)):
                free = [n for own, n in zip(blanks, numbers, strict=True) if own == "#"]
                return tuple(_filled(one, free) for one in targets)
        return ()


def _filled(pattern: str, numbers: list[str]) -> str:
    left = iter(numbers)
    return "".join(next(left) if letter == "#" else letter for letter in pattern)


def is_text(part: str) -> bool:
    """Whether a part of a base is a text encoder."""
    return part.startswith("text_encoder")


def in_file(name: str) -> str:
    """A layer's name in files: with the `text_model.` that some text encoders have lost since."""
    part, _, path = name.partition(".")
    lacks = is_text(part) and not path.startswith(_TEXT_MODEL) and path != "text_projection"
    return f"{part}.{_TEXT_MODEL}{path}" if lacks else name


def in_base(name: str, known: Iterable[str] | None) -> str:
    """The name in a base, whose layers are `known`, of the layer that files call `name`; empty where it has none."""
    if known is None:
        return in_file(name)
    for spelt in (name, in_file(name), name.replace(f".{_TEXT_MODEL}", ".", 1)):
        if spelt in known:
            return spelt
    return ""
