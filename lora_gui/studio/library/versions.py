"""The versions of a LoRA: what its run kept on the way, put into use as a LoRA of its own beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lora_gui.errors import UserError
from lora_gui.protocol.task_folder import ADAPTER, MANIFEST, TaskFolder, step_of
from lora_gui.studio.library.shelf import Card, Shelf
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import keeping
from lora_gui.studio.tasks.run import Run

KEPT = "A run keeps its last two states, and of three earlier ones the LoRA."


@dataclass(frozen=True)
class Version:
    """What a run had learnt by a step; `path` is empty where it is not among the LoRAs yet."""

    step: int
    path: Path | None
    is_last: bool  # what the run ended with


def versions(studio: Studio, card: Card, shelf: Shelf) -> list[Version]:
    """Those of its run, the latest first; none where it is not known, or has nothing but this one."""
    if not card.run:
        return []
    found: dict[int, Version] = {}
    for folder in TaskFolder(studio.runs / Path(card.run).name).checkpoints.glob(f"ckpt-*[0-9]/{MANIFEST}"):
        step = step_of(folder.parent)
        found[step] = Version(step, None, False)
    for other in shelf.cards:
        if other.run == card.run and other.info:
            step = other.notes.step or other.info.steps
            found[step] = Version(step, other.path, not other.notes.step)
    return [found[step] for step in sorted(found, reverse=True)] if len(found) > 1 else []


def put_into_use(studio: Studio, card: Card, step: int) -> Path:
    """Put what the run of a LoRA had learnt by a step among the LoRAs; its path. Raises UserError."""
    run = Run(studio.runs / Path(card.run).name)
    kept = run.files.checkpoint(step)
    if not card.run or not (kept / ADAPTER).is_file():
        raise UserError(f"What was learnt by step {step} is not kept any more.", KEPT)
    return keeping.keep(studio, run, kept)
