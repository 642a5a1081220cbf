"""How much memory a training would need, asked of a child process that plans it; no base has to be on this disk."""

from collections.abc import Sequence
from typing import Any

import psutil

from lora_gui import families
from lora_gui.errors import UserError
from lora_gui.protocol import events
from lora_gui.protocol.jobs import Base, PlanJob
from lora_gui.settings import TrainSettings
from lora_gui.studio.capacity import gpu
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import process
from lora_gui.studio.things import bases

_LOG = "plans.txt"
_STARTING, _EACH = 120.0, 120.0  # seconds a plan may take: for the child to start, and for each question


def base_of(studio: Studio, name: str) -> Base:
    """The base called `name`, on this disk or only known. Raises UserError for any other, and where it cannot learn."""
    for kind in families.facts().values():
        for known in kind.bases:
            if known.key == name and known.repo:
                if not known.trains:
                    raise UserError(f"{known.title} draws only.", "Choose the base it was made from.")
                return Base(key=name, title=known.title, family=kind.key, path="")
    return bases.find(studio, name)


def all_bases() -> list[Base]:
    """Every base that can be had and can learn."""
    return [
        Base(key=known.key, title=known.title, family=one.key, path="")
        for one in families.facts().values()
        for known in one.bases
        if known.repo and known.trains
    ]


def job(
    studio: Studio, base: Base, settings: TrainSettings, vram_gib: float, ram_gib: float | None = None
) -> PlanJob:
    """A question for `ask`; RAM is this computer's own unless given, and so is the card where it has this memory."""
    base = bases.built_like(base)
    ram = psutil.virtual_memory().total / 2**30 if ram_gib is None else ram_gib
    kept = str((studio.cache / "plans").resolve())
    own = vram_gib == gpu.memory()
    return PlanJob(
        base=base, settings=settings, vram_gib=vram_gib, capability=gpu.capability() if own else None,
        unified=own and gpu.card().unified, ram_gib=ram, cache=kept,
    )  # fmt: skip


def ask(studio: Studio, questions: Sequence[PlanJob]) -> list[dict[str, Any]]:
    """The plan of each. Takes up to a minute for each base the first time; what was counted is kept in the cache.

    Raises UserError where one cannot be planned, or where it takes much longer than it may.
    """
    log, seconds = studio.cache / _LOG, _STARTING + _EACH * len(questions)
    said = process.ask("plan", [question.model_dump_json() for question in questions], log, seconds)
    found = [event.plan for event in said if isinstance(event, events.Planned)]
    if len(found) < len(questions):
        raise UserError(*process.cause(log))
    return found
