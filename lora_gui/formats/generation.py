"""How a drawing was made: as the text of A1111 that Civitai and most viewers read, and exactly, as JSON of our own."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_gui import __version__
from lora_gui.formats.strengths import counts
from lora_gui.settings import DrawSettings, StackEntry

VERSION = 1  # of the JSON
PROGRAM = f"LoRA Studio {__version__}"

Used = tuple[str, float, str]  # a LoRA's name, its strength, and the hash by which other programs know it


@dataclass(frozen=True)
class Made:
    """One finished drawing: `settings` are its own, with its seed and its prompts as they were drawn."""

    settings: DrawSettings
    base: str  # title
    sampler: tuple[str, str]  # its common name, and that of the noise schedule or nothing
    loras: list[Used]  # that counted
    size: tuple[int, int]  # px, width and height
    base_key: str = ""
    base_hash: str = ""  # sha256 of the base's one file


def text(made: Made) -> str:
    """The text `parameters` of A1111: prompt with its LoRAs, negative prompt, and the fields in a line.

    Strengths of LoRAs travel in the prompt alone; see `create_infotext` in A1111's modules/processing.py.
    """
    settings = made.settings
    tags = [f"<lora:{name}:{_strengths(entry, strength)}>" for (name, strength, _), entry in _entries(made)]
    lines = [" ".join([settings.prompt, *tags])]
    if settings.negative_prompt:
        lines.append(f"Negative prompt: {settings.negative_prompt}")
    lines.append(", ".join(f"{key}: {_quoted(str(value))}" for key, value in _fields(made).items() if value != ""))
    return "\n".join(lines)


def exact(made: Made) -> str:
    """All that a second drawing needs, as JSON. No path stands in it: LoRAs and pictures are named."""
    settings = made.settings.model_dump(mode="json", exclude={"count"})
    settings |= {name: Path(settings[name]).name for name in PICTURES}
    settings["stack"] = [entry | {"lora": Path(entry["lora"]).stem} for entry in settings["stack"]]
    record = {
        "version": VERSION,
        "program": PROGRAM,
        "base": {"key": made.base_key, "title": made.base, "sha256": made.base_hash},
        "loras": [{"name": name, "strength": strength, "hash": digest} for name, strength, digest in made.loras],
        "sampler": made.sampler,
        "size": made.size,
        "settings": settings,
    }
    return json.dumps(record, ensure_ascii=False)


PICTURES = ("picture", "mask")  # settings that are paths of pictures, whose names alone are told


def _fields(made: Made) -> dict[str, Any]:
    settings, (sampler, schedule) = made.settings, made.sampler
    first = (settings.width, settings.height) if settings.upscale > 1 else made.size
    return {
        "Steps": settings.steps,
        "Sampler": sampler,
        "Schedule type": schedule,
        "CFG scale": f"{settings.guidance:g}",
        "Guidance ends": f"{settings.guidance_end:g}" if settings.guidance_end < 1 else "",
        "Seed": settings.seed,
        "Variation seed": settings.variation_seed if settings.variation else "",
        "Variation seed strength": f"{settings.variation:g}" if settings.variation else "",
        "Size": f"{first[0]}x{first[1]}",
        "Model hash": made.base_hash[:10],
        "Model": made.base,
        "Clip skip": settings.clip_skip if settings.clip_skip > 1 else "",
        "Denoising strength": _denoising(settings),
        "Mask blur": settings.mask_blur if settings.mask else "",
        "Hires upscale": f"{settings.upscale:g}" if settings.upscale > 1 else "",
        "Hires upscaler": "Lanczos (tiles)" if settings.upscale > 1 else "",
        "Prediction": "" if settings.prediction == "base" else settings.prediction,
        "Lora hashes": ", ".join(f"{name}: {digest[:12]}" for name, _, digest in made.loras if digest),
        "Version": PROGRAM,
    }


def _denoising(settings: DrawSettings) -> str:
    """Of the picture that was drawn over, or of the second pass; other programs have one field for both."""
    if settings.picture:
        return f"{settings.denoising:g}"
    return f"{settings.upscale_denoising:g}" if settings.upscale > 1 else ""


def _quoted(value: str) -> str:
    """As A1111 writes values that would break its line."""
    return json.dumps(value, ensure_ascii=False) if any(sign in value for sign in ",:\n") else value


def _entries(made: Made) -> list[tuple[Used, StackEntry]]:
    """The LoRAs that counted, each with its row of the stack; one that has none there counts alike everywhere."""
    rows = [*filter(counts, made.settings.stack)][: len(made.loras)]
    usual = [StackEntry(lora=name, strength=1.0) for name, *_ in made.loras[len(rows) :]]
    return list(zip(made.loras, rows + usual, strict=True))


def _strengths(entry: StackEntry, strength: float) -> str:
    """As A1111 writes them: one for text encoders, where that is another, and one for the rest."""
    apart = entry.text_strength is not None and entry.text_strength != strength
    return f"{entry.text_strength:g}:{strength:g}" if apart else f"{strength:g}"
