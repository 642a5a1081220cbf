"""The programs LoRA files are written for, and the dialect in which each reads all of one."""

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


def dialect_for(program: str, facts: Facts) -> str:
    """The dialect in which `program` reads all of a LoRA of this family. Raises UserError where it reads none so."""
    if program not in PROGRAMS:
        raise UserError(f"No program is called {program!r} here.", nearest(program, PROGRAMS))
    if program not in facts.written_for:
        others = ", ".join(PROGRAMS[one] for one in facts.written_for)
        raise UserError(
            f"{PROGRAMS[program]} is not known to read LoRAs of {facts.title}.", f"Write it for one of: {others}."
        )
    return facts.written_for[program]
