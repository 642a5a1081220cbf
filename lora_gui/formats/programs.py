"""The dialect in which each program reads all of a LoRA, by family; measured with full-size layers of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lora_gui.errors import UserError, nearest

if TYPE_CHECKING:
    from lora_gui.facts import Facts

PROGRAMS = {
    "comfyui": "ComfyUI",
    "forge": "Forge and A1111",
    "diffusers": "diffusers",
    "invokeai": "InvokeAI",
    "kohya": "sd-scripts",
}
_EVERYWHERE = {"comfyui": "kohya", "forge": "kohya", "diffusers": "diffusers", "invokeai": "kohya", "kohya": "kohya"}
# family key -> program -> dialect; a program that is not named does not read this family, or not all of such a file
_DIALECTS = {
    "sd1": _EVERYWHERE,
    "sdxl": _EVERYWHERE,
    "flux1": _EVERYWHERE,
    "sd3": {"comfyui": "kohya", "forge": "kohya", "diffusers": "diffusers", "kohya": "kohya"},
    "klein": {"comfyui": "kohya", "diffusers": "diffusers", "invokeai": "diffusers"},
    "zimage": {"comfyui": "comfy", "diffusers": "diffusers"},
}


def dialect_for(program: str, facts: Facts) -> str:
    """The dialect in which `program` reads all of a LoRA of this family. Raises UserError where it reads none so."""
    if program not in PROGRAMS:
        raise UserError(f"No program is called {program!r} here.", nearest(program, PROGRAMS))
    known = _DIALECTS.get(facts.key, {"diffusers": "diffusers"})
    if program not in known:
        others = ", ".join(PROGRAMS[one] for one in known)
        raise UserError(
            f"{PROGRAMS[program]} is not known to read LoRAs of {facts.title}.", f"Write it for one of: {others}."
        )
    return known[program]
