"""The text `parameters` of A1111 and Forge, read as they read it themselves, and as others write it.

modules/infotext_utils.py of AUTOMATIC1111/stable-diffusion-webui: `parse_generation_parameters`, its expressions and
its order of reading. civitai.com and Fooocus name no LoRAs in the prompt: the one tells all files that it used in a
field of JSON, the other has a field of strengths.
"""

from __future__ import annotations

import json
import re
from typing import Any

from lora_gui.errors import UserError
from lora_gui.formats.header import plain
from lora_gui.formats.recall.recalled import Lora, Recalled, besides, number, sampling, whole

_FIELD = re.compile(r'\s*(\w[\w \-/]{0,60}):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
_TAG = re.compile(r"<(?:lora|lyco)\s*:([^<>]{1,300})>", re.IGNORECASE)
_RESOURCES = re.compile(r",?\s*Civitai resources:\s*(?=\[)")
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")
_LONGEST = 200_000  # characters that are read
_BASE, _LORAS = "checkpoint", ("lora", "locon", "lycoris", "dora")  # as civitai.com calls them
# fields that are carried over, those that need no word, and what becomes of the drawing without the others
_CARRIED = {"Steps", "Sampler", "Schedule type", "CFG scale", "Seed", "Size", "Model hash", "Model", "Lora hashes",
            "Prediction", "Distilled CFG Scale", "Clip skip", "Guidance ends",
            "Scheduler", "Lora weights"}  # fmt: skip
_SILENT = {"Version", "Hashes", "TI hashes", "VAE hash", "Module 1", "Module 2", "Module 3", "RNG", "User",
           "Hires Module 1", "Hires CFG Scale", "Diffusion in Low Bits", "Lora", "Created Date",
           "Civitai metadata", "Raw prompt", "Raw negative prompt", "Performance"}  # fmt: skip


def read(text: str) -> Recalled:
    """Raises UserError where the text is none of theirs."""
    text, used = _resources(text[:_LONGEST])
    prompt, negative, fields = _parsed(text)
    if not fields:
        raise UserError("What this picture says of itself is not known here.", "Choose a picture of another program.")
    hashes = _hashes(fields.get("Lora hashes", ""))
    tagged, unknown = _loras(prompt, hashes)
    named = [(name, weight) for kind, name, weight in used if kind in _LORAS] + _weights(fields.get("Lora weights", ""))
    loras = tagged or tuple(Lora(name, weight, hashes.get(name, "").lower()) for name, weight in named)
    bases = [name for kind, name, _ in used if kind == _BASE]
    kept, left = _settings(fields)
    left += unknown
    others = [f"{key} {value[:40]}" for key, value in fields.items() if key not in _CARRIED | _SILENT]
    others += [f"{kind} {name}" for kind, name, _ in used if kind not in (*_LORAS, _BASE)]
    if others:
        left.append(f"Not carried over: {', '.join(others[:8])}.")
    settings = {"prompt": _without_tags(prompt), "negative_prompt": negative} | kept
    version = fields.get("Version", "")
    return Recalled(
        program="Forge" if version.startswith("f") else "LoRA Studio" if "LoRA Studio" in version else "A1111",
        settings=settings,
        loras=loras,
        base=plain(fields.get("Model", "")) or next(iter(bases), ""),
        base_hash=plain(fields.get("Model hash", ""))[:64],
        left=tuple(map(plain, left)),
    )


def _resources(text: str) -> tuple[str, list[tuple[str, str, float]]]:
    """The text without the files that civitai.com says it used; of these the kind, the name and the strength."""
    begins = _RESOURCES.search(text)
    try:
        said, length = json.JSONDecoder().raw_decode(text[begins.end() :]) if begins else ([], 0)
    except (ValueError, RecursionError):
        begins = None
    if begins is None:
        return text, []
    found = [
        (str(one.get("type", "")).lower(), plain(str(one.get("modelName") or one.get("modelVersionId")))[:200], weight)
        for one in said
        if isinstance(one, dict) and (weight := number(one.get("weight", 1))) is not None
    ]
    return text[: begins.start()] + text[begins.end() + length :], found


def _parsed(text: str) -> tuple[str, str, dict[str, str]]:
    """Prompt, negative prompt, and the fields of the last line, or of one that extensions have put lines behind."""
    lines = text.strip().split("\n")
    ends = len(lines) - 1
    if not _has_fields(lines[-1]):
        begun = (n for n, line in enumerate(lines) if line.startswith("Steps: ") and _has_fields(line))
        ends = max(begun, default=len(lines))
    prompt: list[str] = []
    negative: list[str] = []
    into = prompt
    for line in map(str.strip, lines[:ends]):
        if line.startswith("Negative prompt:"):
            into, line = negative, line.removeprefix("Negative prompt:").strip()
        into.append(line)
    found = {key: _unquoted(value) for line in lines[ends : ends + 1] for key, value in _FIELD.findall(line)}
    behind = (line.strip().partition(": ") for line in lines[ends + 1 :])
    return "\n".join(prompt), "\n".join(negative), {key: value for key, _, value in behind if value} | found


def _has_fields(line: str) -> bool:
    return len(_FIELD.findall(line)) >= 3


def _unquoted(value: str) -> str:
    if not (len(value) > 1 and value[0] == value[-1] == '"'):
        return value
    try:
        return str(json.loads(value))
    except (ValueError, RecursionError):
        return value


def _hashes(text: str) -> dict[str, str]:
    return {name.strip(): digest for name, digest in re.findall(r"([^:,]{1,300}):\s*([0-9a-fA-F]{8,64})", text)}


def _weights(text: str) -> list[tuple[str, float]]:
    """The LoRAs that Fooocus names in a field of their own, and how strong they are."""
    pairs = re.findall(r"([^:,]{1,300}):\s*(-?\d{1,3}(?:\.\d{1,20})?)\b", text)
    return [(plain(name).strip(), float(weight)) for name, weight in pairs]


def _loras(prompt: str, hashes: dict[str, str]) -> tuple[tuple[Lora, ...], list[str]]:
    """Those that tags name, and what else the tags say. Strengths stand in order, text encoders first, or by name."""
    found, left = [], []
    for tag in _TAG.finditer(prompt):
        name, *given = (part.strip() for part in tag[1].split(":"))
        named = dict(part.split("=", 1) for part in given if "=" in part)
        first, second, *further = (*(part for part in given if "=" not in part), "", "")
        said = named.pop("te", first), named.pop("unet", second)
        texts = number(said[0] or 1)
        rest = number(said[1]) if said[1] else texts
        odd = [one for one, strength in zip(said, (texts, rest), strict=True) if strength is None]
        texts = 1.0 if texts is None else texts
        strength = texts if rest is None else rest
        parts = {"text_strength": texts} if texts != strength else {}
        found.append(Lora(plain(name), strength, hashes.get(name, "").lower(), parts))
        if odd := [*odd, *filter(None, further), *(f"{key}={value}" for key, value in named.items())]:
            left.append(f"Not known here of the LoRA {name[:60]}, and left out: {', '.join(odd)[:100]}.")
    return tuple(found), left[:8]


def _without_tags(text: str) -> str:
    return re.sub(rf"[ \t]*(?:{_TAG.pattern}[ \t]*)+", " ", text, flags=re.IGNORECASE).strip()


def _settings(fields: dict[str, str]) -> tuple[dict[str, Any], list[str]]:
    kept, left = sampling(fields.get("Sampler", ""), fields.get("Schedule type", fields.get("Scheduler", "")))
    distilled, cfg = fields.get("Distilled CFG Scale"), number(fields.get("CFG scale"))
    if distilled is not None and cfg not in (None, 1.0):
        left.append(besides(cfg))
    found: dict[str, Any] = kept | {
        "steps": whole(fields.get("Steps")),
        "guidance": cfg if distilled is None else number(distilled),
        "guidance_end": number(fields.get("Guidance ends")),
        "seed": whole(fields.get("Seed")),
        "clip_skip": whole(fields.get("Clip skip")),
    }
    if size := _SIZE.fullmatch(fields.get("Size", "").strip()):
        found |= {"width": int(size[1]), "height": int(size[2])}
    if fields.get("Prediction") in ("epsilon", "v"):
        found["prediction"] = fields["Prediction"]
    return {name: value for name, value in found.items() if value is not None}, left
