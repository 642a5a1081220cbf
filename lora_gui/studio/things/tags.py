"""The LoRAs that a prompt names as `<lora:name:0.8>`, so that rows of the stack and words stay in step."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from lora_gui.drive import folded
from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import loras, prompt
from lora_gui.studio.things.prompt import TAG


class Strengths(NamedTuple):
    """What a tag can say of a LoRA; `text` is its strength in text encoders, None where it is that of the rest."""

    strength: float
    text: float | None = None

    def __str__(self) -> str:
        return f"{self.strength:g}" if self.text is None else f"{self.text:g}:{self.strength:g}"


def named(studio: Studio, text: str) -> dict[str, Strengths]:
    """Path and strengths of each LoRA of the studio that the text names with nothing further, the last one counts.

    Tags that name none, or say more, are left to `prompt.resolved`.
    """
    found = (_read(studio, tag) for tag in TAG.finditer(text))
    return {path: strengths for path, _, strengths in filter(None, found)}


def put(studio: Studio, text: str, strengths: Mapping[str, Strengths | None]) -> str:
    """The text with these strengths in its tags, by the paths of their LoRAs; a tag whose strengths are None goes,
    also where its LoRA is not there any more."""
    gone = False
    lost = {folded(Path(path).stem): path for path, one in strengths.items() if one is None and not Path(path).exists()}

    def new(tag: re.Match[str]) -> str:
        nonlocal gone
        path, name, said = _read(studio, tag) or (lost.get(folded(tag[1].partition(":")[0].strip()), ""), "", None)
        if not path or path not in strengths or (name and strengths[path] == said):
            return tag[0]
        gone = gone or strengths[path] is None
        return "" if strengths[path] is None else f"<lora:{name}:{strengths[path]}>"

    changed = TAG.sub(new, text)
    return re.sub(r"[ \t]{2,}", " ", changed).strip() if gone else changed


def renamed(text: str, names: Mapping[str, str]) -> str:
    """The text with each LoRA in its tags called as it is now, by what it was called."""

    def new(tag: re.Match[str]) -> str:
        name, *said = tag[1].split(":")
        return f"{tag[0][: tag.start(1) - tag.start()]}{':'.join((names.get(name.strip(), name), *said))}>"

    return TAG.sub(new, text)


def _read(studio: Studio, tag: re.Match[str]) -> tuple[str, str, Strengths] | None:
    """The file of the LoRA that a tag names, its name there and the strengths; None where it says more or none."""
    try:
        name, strength, text, unknown = prompt.said(tag)
        return None if unknown else (str(loras.named(studio, name).path), name, Strengths(strength, text))
    except UserError:
        return None
