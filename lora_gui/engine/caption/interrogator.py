"""Rank the words of a list for each picture with a CLIP model: what fits best of each section makes the description."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from transformers import AutoTokenizer

from lora_gui.engine.caption import generating

if TYPE_CHECKING:
    from lora_gui.engine.caption.describe import Describer, Opening

LIST = Path(__file__).with_name("words.txt")
# Around each word: CLIP was taught with sentences (Radford et al. 2021, section 3.1.4).
FIRST, OTHERS = "a picture of {}", "a picture of something {}"
CLEAR = 0.25  # share of a section's probability from which its best is said; a choice of ours, not measured
_ALWAYS = "subject"  # the section that is always said
_AT_ONCE = 64  # words that are encoded together


def interrogator(opening: Opening) -> Describer:
    """The subject is always said, and of the other sections only what stands out."""
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    model = generating.network(opening)
    pictures = CLIPImageProcessorPil.from_pretrained(opening.folder, **generating.LOCAL)
    words = AutoTokenizer.from_pretrained(opening.folder, **generating.LOCAL)
    where = opening.room
    ranked = {name: (there, _encoded(name, there, model, words)) for name, there in sections().items()}

    def describe(images: Sequence[Image.Image]) -> list[str]:
        pixels = pictures(images=list(images), return_tensors="pt")["pixel_values"].to(where.device, where.dtype)
        seen = _unit(model.get_image_features(pixel_values=pixels))  # (B, D)
        scale = model.logit_scale.float().exp()
        chances = {name: ranking(seen, known, scale) for name, (_, known) in ranked.items()}
        return [
            " ".join(word for name, (there, _) in ranked.items() if (word := said(name, there, chances[name][at])))
            for at in range(len(images))
        ]

    return describe


def ranking(seen: torch.Tensor, known: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """The probability of each word (N, D) for each picture (B, D), (B, N): in float32, as 16 bits tell near ones not
    apart once they are scaled."""
    return (scale * (seen.float() @ known.float().T)).softmax(-1)


def sections(file: Path = LIST) -> dict[str, list[str]]:
    """The words of the list by their sections, the subject first."""
    found: dict[str, list[str]] = {}
    words: list[str] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            words = found.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            words.append(line)
    return found


def said(section: str, words: Sequence[str], chances: torch.Tensor) -> str:
    """The best word of a section, whose probabilities (N,) these are; empty where none stands out."""
    best = int(chances.argmax())
    return words[best] if section == _ALWAYS or float(chances[best]) >= CLEAR else ""


def _encoded(section: str, words: Sequence[str], model: Any, tokenizer: Any) -> torch.Tensor:
    """What the model makes of each word, (N, D), each of length 1."""
    sentences = [(FIRST if section == _ALWAYS else OTHERS).format(word) for word in words]
    found = []
    for at in range(0, len(sentences), _AT_ONCE):
        some = sentences[at : at + _AT_ONCE]
        given = tokenizer(some, padding=True, truncation=True, return_tensors="pt").to(model.device)
        found.append(_unit(model.get_text_features(**given)))
    return torch.cat(found)


def _unit(features: Any) -> torch.Tensor:
    """Newer versions of transformers give the features in a value of several."""
    plain: torch.Tensor = getattr(features, "pooler_output", features)
    return plain / plain.norm(dim=-1, keepdim=True)
