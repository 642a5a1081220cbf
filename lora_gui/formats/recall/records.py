"""What Fooocus, SwarmUI and InvokeAI say of a drawing: a record in JSON, each with names of its own.

modules/meta_parser.py of lllyasviel/Fooocus (`FooocusMetadataParser`), docs/Image Metadata Format.md of
mcmonkeyprojects/SwarmUI, and the node `core_metadata` of invoke-ai/InvokeAI.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from lora_gui.errors import UserError
from lora_gui.formats.header import plain
from lora_gui.formats.recall.recalled import Lora, Recalled, number, sampling, stem, whole

Said = dict[str, Any]
_SIZE = re.compile(r"\((\d{1,5}), ?(\d{1,5})\)")
# what is not carried over of each, by what it is called there
_FOOOCUS = {"sharpness": "Sharpness", "adm_guidance": "ADM guidance", "adaptive_cfg": "Adaptive CFG", "freeu": "FreeU",
            "refiner_model": "Refiner"}  # fmt: skip
_SWARM = {"initimagecreativity": "Init image", "refinermethod": "Refiner", "refinerupscale": "Upscale",
          "vae": "VAE", "controlnetmodel": "ControlNet"}  # fmt: skip
_INVOKE = {"refiner_model": "Refiner", "hrf_enabled": "High resolution fix", "controlnets": "ControlNet",
           "ref_images": "Reference images", "strength": "Strength over a picture",
           "seamless_x": "Seamless"}  # fmt: skip


def read(text: str) -> Recalled:
    """Raises UserError where the text is none of theirs."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = None
    if isinstance(said, dict):
        if isinstance(swarm := said.get("sui_image_params"), dict):
            return _swarm(swarm)
        if {"app_version", "generation_mode"} & said.keys() and "model" in said:
            return _invoke(said)
        if {"base_model", "full_prompt", "performance"} <= said.keys():
            return _fooocus(said)
    raise UserError("What this picture says of itself is not known here.", "Choose a picture of another program.")


def _fooocus(said: Said) -> Recalled:
    """Its prompts as the network got them, with the words of its styles."""
    size = _SIZE.fullmatch(str(said.get("resolution", "")))
    width, height = size.groups() if size else (None, None)
    typed = "prompt", "negative_prompt"
    prompts = [", ".join(map(str, _list(said, f"full_{one}"))) or said.get(one) for one in typed]
    rows = [row for row in _list(said, "loras", list) if len(row) > 1]
    loras = [_lora(row[0], row[1], row[2] if len(row) > 2 else "") for row in rows]
    return _recalled(
        "Fooocus", prompts, said | {"guidance": said.get("guidance_scale"), "width": width, "height": height},
        (said.get("sampler"), said.get("scheduler")), loras, (said.get("base_model"), said.get("base_model_hash")),
        _others(said, _FOOOCUS),
    )  # fmt: skip


def _swarm(said: Said) -> Recalled:
    clip = whole(said.get("clipstopatlayer"))
    settings = said | {
        "guidance": said.get("fluxguidancescale", said.get("cfgscale")),
        "clip_skip": None if clip is None else -clip,
    }
    rows = zip(_list(said, "loras"), _list(said, "loraweights"), strict=False)
    loras = [_lora(stem(str(name)), weight) for name, weight in rows]
    return _recalled(
        "SwarmUI", [said.get("prompt"), said.get("negativeprompt")], settings,
        [said.get(f"comfyui{one}", said.get(one)) for one in ("sampler", "scheduler")], loras,
        (stem(str(said.get("model", ""))), ""), _others(said, _SWARM),
    )  # fmt: skip


def _invoke(said: Said) -> Recalled:
    """Its hashes are of another kind (BLAKE3) than those by which files are known here."""
    name = str(said.get("scheduler", ""))
    sampler = {"euler_a": "euler a", "kdpm_2": "dpm2", "kdpm_2_a": "dpm2 a"}.get(name, name.removesuffix("_k"))
    rows = _list(said, "loras", dict)
    loras = [_lora(_name(row.get("model", row.get("lora"))), row.get("weight")) for row in rows]
    return _recalled(
        "InvokeAI", [said.get("positive_prompt"), said.get("negative_prompt")],
        said | {"guidance": said.get("guidance", said.get("cfg_scale"))},
        (sampler, "karras" if name.endswith("_k") else ""), loras, (_name(said.get("model")), ""),
        _others(said, _INVOKE),
    )  # fmt: skip


def _recalled(
    program: str, prompts: Iterable[Any], said: Said, sampler: Iterable[Any], loras: list[Lora | None],
    base: tuple[Any, Any], others: list[str],
) -> Recalled:  # fmt: skip
    kept, left = sampling(*(str(one or "") for one in sampler))
    settings: dict[str, Any] = dict(kept)
    for name, prompt in zip(("prompt", "negative_prompt"), prompts, strict=True):
        settings[name] = str(prompt or "")
    for name in ("steps", "seed", "width", "height", "clip_skip"):
        settings[name] = whole(said.get(name))
    settings["guidance"] = number(said.get("guidance"))
    if others:
        left.append(f"Not carried over: {', '.join(others)}.")
    return Recalled(
        program=program,
        settings={name: value for name, value in settings.items() if value is not None},
        loras=tuple(one for one in loras if one),
        base=plain(str(base[0] or "")),
        base_hash=plain(str(base[1] or ""))[:64],
        left=tuple(map(plain, left)),
    )


def _others(said: Said, titles: dict[str, str]) -> list[str]:
    told = {title: said.get(key) for key, title in titles.items()}
    return [f"{title} {_short(value)}".strip() for title, value in told.items() if value and value != "None"]


def _short(value: Any) -> str:
    return str(value)[:40] if isinstance(value, str | float | int) and not isinstance(value, bool) else ""


def _list(said: Said, name: str, kind: type = object) -> list[Any]:
    rows = said.get(name)
    rows = rows.split(",") if isinstance(rows, str) else rows  # as SwarmUI may write them
    return [row for row in rows if isinstance(row, kind)] if isinstance(rows, list) else []


def _name(model: Any) -> str:
    return str(model.get("name", model.get("model_name", ""))) if isinstance(model, dict) else ""


def _lora(name: Any, weight: Any, digest: Any = "") -> Lora | None:
    strength = number(weight)
    return None if strength is None else Lora(plain(str(name)), strength, plain(str(digest))[:64].lower())
