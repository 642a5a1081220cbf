"""Save a stack as one LoRA; a child does it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.protocol import events
from lora_gui.protocol.jobs import MixJob
from lora_gui.settings import StackEntry
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import process
from lora_gui.studio.things import loras
from lora_gui.studio.things.names import check_name


@dataclass(frozen=True)
class Mix:
    """A LoRA that does what a stack did. `kept` is the share of the stack's squared norm that is left, 1 if exact."""

    lora: loras.LoraInfo
    kept: float
    rank: int
    sentence: str


def mix(studio: Studio, stack: tuple[StackEntry, ...], name: str, rank: int = 0) -> Mix:
    """Save what a stack does as one LoRA of the studio, exact where `rank` is 0. Raises UserError where it cannot."""
    if not stack:
        raise UserError("There is no LoRA to be mixed.", "Name one or more.")
    loras.of_one_family([Path(entry.lora) for entry in stack], "mixed")
    files.make_folder(studio.loras)
    new = check_name(name)
    out = files.free_name(studio.loras, new, loras.SUFFIX)
    made = files.half_made(out)
    absolute = tuple(entry.model_copy(update={"lora": str(Path(entry.lora).absolute())}) for entry in stack)
    job = MixJob(stack=absolute, rank=rank, name=out.stem, out=str(made.resolve()))
    log = studio.cache / "mix.txt"
    try:
        said = process.ask("mix", [job.model_dump_json()], log)
        told = next((event for event in said if isinstance(event, events.Mixed)), None)
        if told is None or not isinstance(said[-1], events.Done):
            raise UserError(*process.cause(log))
        with loras.naming(studio):  # its name may be another's by now
            out = files.free_name(studio.loras, new, loras.SUFFIX)
            files.move(made, out)
    finally:
        files.remove(made)
    return Mix(loras.describe(out), told.kept, told.rank, _sentence(told, rank))


def _sentence(told: events.Mixed, rank: int) -> str:
    size = f"{told.bytes / 1e6:,.1f} MB"
    if not rank:
        return f"At strength 1 it does exactly what the stack did; rank {told.rank}, {size}."
    return f"At rank {told.rank} it keeps {100 * told.kept:.1f} % of what the stack did; {size}."
