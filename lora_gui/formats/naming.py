"""How layers are called: by the base, by the program it came from, and in LoRA files. Knows no tensor."""

import re
from collections.abc import Iterable

PARTS = ("unet", "transformer", "prior", "text_encoder", "text_encoder_2")
TEXT_LAYERS = (
    *(f"text_model.encoder.layers.#.self_attn.{layer}" for layer in ("q_proj", "k_proj", "v_proj", "out_proj")),
    *(f"text_model.encoder.layers.#.mlp.{layer}" for layer in ("fc1", "fc2")),
    "text_projection",
)
_NUMBER = re.compile(r"\d+")
_LEVEL = "text_model."  # of text encoders: transformers 5 lost it for some, files have it always


class Translation:
    """From one way of naming to another; a name that is not in it means nothing: ()."""

    def __init__(self, pairs: Iterable[tuple[str, tuple[str, ...]]]) -> None:
        """`pairs` of patterns, `#` standing for a number, the same ones in the same order on both sides."""
        self._words: dict[str, tuple[str, ...]] = {}
        self._pages: dict[str, list[tuple[re.Pattern[str], tuple[str, ...]]]] = {}
        for said, meant in pairs:
            if "#" not in said:
                self._words.setdefault(said, meant)
                continue
            pattern = re.compile(re.escape(said).replace(r"\#", r"(\d+)"))
            self._pages.setdefault(_NUMBER.sub("#", said), []).append((pattern, meant))

    def of(self, name: str) -> tuple[str, ...]:
        if name in self._words:
            return self._words[name]
        for pattern, meant in self._pages.get(_NUMBER.sub("#", name), ()):
            if found := pattern.fullmatch(name):
                return tuple(_filled(one, found.groups()) for one in meant)
        return ()


def _filled(pattern: str, numbers: tuple[str, ...]) -> str:
    left = iter(numbers)
    return "".join(next(left) if letter == "#" else letter for letter in pattern)


def is_text(part: str) -> bool:
    return part.startswith("text_encoder")


def in_file(name: str) -> str:
    """A layer's name with the level that files have and some text encoders of today have not."""
    part, _, path = name.partition(".")
    lacks = is_text(part) and not path.startswith(_LEVEL) and path != "text_projection"
    return f"{part}.{_LEVEL}{path}" if lacks else name


def in_base(name: str, known: Iterable[str] | None) -> str:
    """The name that a base gives a layer which files call `name`; empty where it has none, unchanged with no base."""
    if known is None:
        return in_file(name)
    for spelt in (name, in_file(name), name.replace(f".{_LEVEL}", ".", 1)):
        if spelt in known:
            return spelt
    return ""
