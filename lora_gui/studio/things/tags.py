"""The LoRAs that a prompt names as `<lora:name:0.8>`, so that rows of the stack and words stay in step."""

import re
from collections.abc import Mapping
from pathlib import Path

from lora_gui import typed
from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import loras
from lora_gui.studio.things.prompt import TAG


def named(studio: Studio, text: str) -> dict[str, float]:
    """Path and strength of each LoRA of the studio that the text names with one strength at most, the last one counts.

    Tags that name none, or say more, are left to `prompt.resolved`.
    """
    return {str(path): strength for tag in TAG.finditer(text) if (path := _of(studio, tag, strength := _said(tag)))}


def put(studio: Studio, text: str, strengths: Mapping[str, float | None]) -> str:
    """The text with these strengths in its tags, by the paths of their LoRAs; a tag whose strength is None goes."""
    gone = False

    def new(tag: re.Match[str]) -> str:
        nonlocal gone
        path = str(_of(studio, tag, said := _said(tag)) or "")
        if path not in strengths or strengths[path] == said:
            return tag[0]
        strength = strengths[path]
        gone = gone or strength is None
        return "" if strength is None else f"<lora:{tag[1].split(':')[0].strip()}:{strength:g}>"

    changed = TAG.sub(new, text)
    return re.sub(r"[ \t]{2,}", " ", changed).strip() if gone else changed


def _said(tag: re.Match[str]) -> float:
    """The one strength of a tag, 1 where it says none; not a number where it says more, or something else."""
    _, *given = tag[1].split(":")
    found = typed.number(given[0].strip() or "1") if given else 1.0
    return float("nan") if len(given) > 1 or isinstance(found, str) else float(found)


def _of(studio: Studio, tag: re.Match[str], strength: float) -> Path | None:
    """The file of the LoRA that a tag names; None where there is none, or the tag says more than a strength."""
    if strength != strength:
        return None
    try:
        return loras.named(studio, tag[1].split(":")[0].strip()).path
    except UserError:
        return None
