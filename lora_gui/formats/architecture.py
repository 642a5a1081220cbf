"""What a LoRA file says of its base: the spellings of many trainers as one family, and the kinds not known here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lora_gui.errors import UserError

if TYPE_CHECKING:
    from lora_gui.facts import Facts

FIELDS = ("modelspec.architecture", "ss_base_model_version")

# kinds whose layers may look like those of a family here
_FOREIGN = {
    r"(sd|stable-diffusion)-?v?-?2.*": "Stable Diffusion 2.x",
    r"(sd|stable-diffusion)-?v?-?3-?(m|medium)(-.*)?": "Stable Diffusion 3, the one before 3.5",
    r"(segmind-)?(ssd|vega)(-.*)?": "Segmind's SSD or Vega",
    r"(sd|stable-diffusion)-?xl.*refiner.*": "the SDXL refiner",
    r"flux-?2-?(d|dev)\b.*": "FLUX.2 dev",
    r"stable-cascade.*": "Stable Cascade",
    r"(svd|stable-video).*": "Stable Video Diffusion",
    r"hunyuan.*|framepack.*": "Hunyuan",
    r"wan(?![a-z]).*": "Wan",
    r"qwen.*": "Qwen-Image",
    r"chroma.*": "Chroma",
    r"hidream.*": "HiDream",
    r"kolors.*": "Kolors",
    r"lumina.*": "Lumina",
    r"ltx.*": "LTX-Video",
    r"cog(video|view).*": "CogVideo",
    r"pixart.*": "PixArt",
    r"aura-?flow.*": "AuraFlow",
    r"sana.*": "Sana",
    r"cosmos.*|anima(?![a-z]).*": "Cosmos",
    r"omnigen.*": "OmniGen",
    r"mochi.*": "Mochi",
    r"(deepfloyd|if-i).*": "DeepFloyd IF",
    r"kandinsky(?!-?v?-?2-?2).*": "another Kandinsky",
}


def said(metadata: Mapping[str, str], families: Mapping[str, Facts]) -> str:
    """The key of the family of `families` that the header names; empty where it names none that is known at all.

    Raises UserError where it names a kind of base that is none of `families`.
    """
    for field in FIELDS:
        value = metadata.get(field, "")
        if title := _kind(value):
            raise foreign(value if title.casefold() == value.casefold() else f"{title}: {value}")
        if key := _family(value, families):
            return key
    return ""


def foreign(kind: str) -> UserError:
    """The refusal of a LoRA for a kind of base that is not known here."""
    return UserError(
        f"This LoRA is for another kind of base ({kind[:80]}).", "Choose a LoRA made for one of your bases."
    )


def _family(value: str, families: Mapping[str, Facts]) -> str:
    """The family so named; empty where it is none of `families`."""
    if not (wanted := _normal(value)):
        return ""
    for facts in families.values():
        own = [name for base in ("", *(known.key for known in facts.bases)) for name in facts.named(base)]
        if wanted in map(_normal, own):
            return facts.key
    return next((key for key, facts in families.items() if re.fullmatch(facts.spellings, wanted)), "")


def _kind(value: str) -> str:
    wanted = _normal(value)
    return next((title for names, title in _FOREIGN.items() if re.fullmatch(names, wanted)), "")


def _normal(value: str) -> str:
    """Lower case, words joined by `-`; without the maker before it and the `/lora` after it."""
    text = re.sub(r"/(lora|dora|locon|lokr|loha|lycoris|textual-inversion)$", "", value.strip().casefold())
    return re.sub(r"[^a-z0-9]+", "-", text.rpartition("/")[2]).strip("-")
