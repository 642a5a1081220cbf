"""What can be told of how a picture was made, whichever program made it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

from lora_gui.formats.header import plain
from lora_gui.settings import Sampler, Schedule

LONGEST = 4000  # characters of a prompt
MOST = 16  # LoRAs that are told

# How A1111, Forge and ComfyUI call samplers, in small letters -> how we do.
SAMPLERS: dict[str, Sampler] = {
    "euler": "Euler", "euler a": "Euler a", "euler_ancestral": "Euler a", "heun": "Heun", "dpm2": "DPM2",
    "dpm_2": "DPM2", "dpm2 a": "DPM2 a", "dpm_2_ancestral": "DPM2 a", "dpm++ 2m": "DPM++ 2M", "dpmpp_2m": "DPM++ 2M",
    "dpm++ 2m sde": "DPM++ 2M SDE", "dpmpp_2m_sde": "DPM++ 2M SDE", "dpmpp_2m_sde_gpu": "DPM++ 2M SDE",
    "dpm++ sde": "DPM++ SDE", "dpmpp_sde": "DPM++ SDE", "dpmpp_sde_gpu": "DPM++ SDE", "dpm++ 2s": "DPM++ 2S",
    "unipc": "UniPC", "uni_pc": "UniPC", "uni_pc_bh2": "UniPC", "deis": "DEIS", "ddim": "DDIM", "ddpm": "DDPM",
    "plms": "PLMS", "lcm": "LCM",
}  # fmt: skip
SCHEDULES: dict[str, Schedule] = {
    "karras": "Karras", "exponential": "Exponential", "sgm uniform": "SGM Uniform", "sgm_uniform": "SGM Uniform",
    "normal": "Normal", "automatic": "base", "uniform": "Normal",
}  # fmt: skip


@dataclass(frozen=True)
class Lora:
    """One that was used; `hash` is the beginning of the sha256 that programs know it by, or empty."""

    name: str
    strength: float
    hash: str = ""
    parts: dict[str, float] = field(default_factory=dict)  # strengths of parts of the base, as in StackEntry


@dataclass(frozen=True)
class Recalled:
    """`settings` are of DrawSettings, without a stack, unchecked; `left` says what could not be carried over."""

    program: str
    settings: dict[str, Any]
    loras: tuple[Lora, ...] = ()
    base: str = ""  # its name or title
    base_key: str = ""
    base_hash: str = ""  # the beginning of its sha256
    left: tuple[str, ...] = ()
    pictures: dict[str, str] = field(default_factory=dict)  # names of those it began with, by setting
    exact: bool = False  # whether it says all that a second drawing needs


def sampling(sampler: str, schedule: str) -> tuple[dict[str, str], list[str]]:
    """The settings for the names that a program uses, and what of them is not known here."""
    name, kept, left = sampler.strip().lower(), dict[str, str](), list[str]()
    for ending in ("karras", "exponential"):  # older A1111 had both in one name
        if not schedule and name.endswith(f" {ending}"):
            name, schedule = name.removesuffix(f" {ending}"), ending
    if name in SAMPLERS:
        kept["sampler"] = SAMPLERS[name]
    elif name:
        left.append(f"The sampler {sampler[:40]} is not known here; the base's own is used.")
    plain = schedule.strip().lower()
    if plain in SCHEDULES:
        kept["schedule"] = SCHEDULES[plain]
    elif plain and plain != "simple":
        left.append(f"The noise schedule {schedule[:40]} is not known here; the base's own is used.")
    return {key: value for key, value in kept.items() if value != "base"}, left


def besides(guidance: float) -> str:
    """What is said of a guidance beside that which a distilled base was told, which alone is carried over."""
    return f"It was drawn with a CFG scale of {guidance:g} too, which is left out: there is one guidance here."


def number(value: Any) -> float | None:
    """A finite number that a program wrote; None for anything else."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) and not isinstance(value, bool) else None


def whole(value: Any) -> int | None:
    """A whole number that a program wrote; None for anything else. Digits of a seed are not lost."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) < 2**70 else None
    text = str(value).strip()
    return int(text) if len(text) < 22 and text.removeprefix("-").isdecimal() and text.isascii() else None


def stem(name: str) -> str:
    """The name of a file without its folders and its ending, of whatever system."""
    return plain(re.split(r"[\\/]", name)[-1]).removesuffix(".safetensors")[:200]
