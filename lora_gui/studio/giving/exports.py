"""A LoRA as a file for one program, in the way that this program reads whole, proven before it has its name."""

import os
from dataclasses import dataclass
from pathlib import Path

from lora_gui import families, files
from lora_gui.formats import private
from lora_gui.formats.programs import PROGRAMS as PROGRAMS
from lora_gui.studio.giving.proof import Proof, Prover, Say, aloud
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.studio.things import loras
from lora_gui.studio.things.loras import LoraInfo


@dataclass(frozen=True)
class Given:
    """What was made. `left_out` are header fields that may tell of this computer or of the pictures."""

    file: Path
    program: str
    dialect: str
    proof: Proof
    left_out: tuple[str, ...]


def for_program(
    studio: Studio, drawer: Drawer, lora: LoraInfo, program: str, folder: Path | None = None, say: Say = aloud
) -> Given:
    """The file of a LoRA for `program`, a key of PROGRAMS, in `folder` or among what was given away.

    Raises UserError, and leaves nothing, where the program reads no such LoRA or the copy draws something else.
    """
    dialect = loras.dialect_for(lora.path, program)
    place = folder or studio.given
    target = files.free_name(place, f"{lora.name}-{program}", ".safetensors")
    partial = files.half_made(target if os.path.lexists(place) else place)  # so that no empty folder stays
    try:
        copy = partial / target.name
        say("Writing the copy")
        left_out = written(studio, lora, dialect, copy)
        with Prover(studio, drawer, lora, say) as prover:
            proof = prover.prove(copy, PROGRAMS[program], "diffusers" if program == "diffusers" else "")
        files.move(copy, target)
    finally:
        files.remove_folder(partial)
    return Given(target, program, dialect, proof, left_out)


def programs_for(lora: LoraInfo) -> list[str]:
    """The keys of the programs that read all of a LoRA of this family."""
    return list(families.facts_of(lora.family).written_for)


def written(studio: Studio, lora: LoraInfo, dialect: str, out: Path) -> tuple[str, ...]:
    """Write a LoRA in a dialect, with the fields alone that may leave the studio; the names of the others."""
    fields, left_out = private.fields(lora.path)
    files.make_folder(out.parent)
    loras.convert(studio, lora.path, dialect, out, fields)
    return tuple(left_out)
