"""Fooocus' own record of what it drew, JSON in the place of A1111's text.

modules/meta_parser.py of lllyasviel/Fooocus: `FooocusMetadataParser`. Its prompts are told as the network got them,
with the words of its styles.
"""

from __future__ import annotations

import json
import re
from typing import Any

from lora_gui.errors import UserError
from lora_gui.formats.header import plain
from lora_gui.formats.recall.recalled import LONGEST, MOST, Lora, Recalled, number, sampling, whole

_SIZE = re.compile(r"\((\d{1,5}), ?(\d{1,5})\)")
_OWN = {"sharpness": "Sharpness", "adm_guidance": "ADM guidance", "adaptive_cfg": "Adaptive CFG", "freeu": "FreeU",
        "refiner_model": "Refiner"}  # fmt: skip


def read(text: str) -> Recalled:
    """Raises UserError where the text is none of its."""
    try:
        said = json.loads(text)
        named = [str(name) for name in said if name in ("base_model", "full_prompt", "performance")]
    except (ValueError, TypeError, RecursionError):
        named = []
    if len(named) < 3 or not isinstance(said, dict):
        raise UserError("What this picture says of itself is not known here.", "Choose a picture of another program.")
    kept, left = sampling(str(said.get("sampler", "")), str(said.get("scheduler", "")))
    settings: dict[str, Any] = kept | {
        "prompt": _words(said, "full_prompt", "prompt"),
        "negative_prompt": _words(said, "full_negative_prompt", "negative_prompt"),
        "steps": whole(said.get("steps")),
        "guidance": number(said.get("guidance_scale")),
        "seed": whole(said.get("seed")),
        "clip_skip": whole(said.get("clip_skip")),
    }
    if size := _SIZE.fullmatch(str(said.get("resolution", ""))):
        settings |= {"width": int(size[1]), "height": int(size[2])}
    own = {title: said.get(key) for key, title in _OWN.items()}
    if others := [f"{title} {str(value)[:40]}" for title, value in own.items() if value not in (None, "", "None")]:
        left.append(f"Not carried over: {', '.join(others)}.")
    return Recalled(
        program="Fooocus",
        settings={name: value for name, value in settings.items() if value is not None},
        loras=tuple(_loras(said.get("loras"))[:MOST]),
        base=plain(str(said.get("base_model", ""))),
        base_hash=plain(str(said.get("base_model_hash", "")))[:64],
        left=tuple(map(plain, left)),
    )


def _words(said: dict[str, Any], whole_prompt: str, typed: str) -> str:
    parts = said.get(whole_prompt)
    text = ", ".join(map(str, parts)) if isinstance(parts, list) and parts else str(said.get(typed, ""))
    return text[:LONGEST]


def _loras(rows: Any) -> list[Lora]:
    """Each is a name, a strength and a hash."""
    rows = [row for row in rows if isinstance(row, list) and len(row) > 1] if isinstance(rows, list) else []
    return [
        Lora(plain(str(row[0])), strength, plain(str(row[2]))[:64].lower() if len(row) > 2 else "")
        for row in rows
        if (strength := number(row[1])) is not None
    ]
