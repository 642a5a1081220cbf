"""From what went wrong to a run without it: symptom, cause, the settings that differ, and its start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lora_gui.errors import UserError
from lora_gui.protocol.jobs import TrainJob
from lora_gui.settings import TrainSettings, check
from lora_gui.studio.capacity import fit, gpu
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import queue, retries
from lora_gui.studio.tasks.run import Run
from lora_gui.studio.things import presets

FEWEST = 20  # steps of a mended run
FASTEST = 1.5  # times the preset's learning rate, from which it is taken back to that
NOTHING_TO_CHANGE = UserError("No setting would mend this.", "Change its pictures or captions, and train again.")

Change = Callable[[Studio, TrainJob], dict[str, Any]]


def changes(studio: Studio, job: TrainJob, kind: str) -> dict[str, Any]:
    """The settings that a run without this would have, only those that differ; empty where none would help."""
    found = _MENDS[kind](studio, job) if kind in _MENDS else {}
    return {name: value for name, value in found.items() if value != getattr(job.settings, name)}


def in_words(job: TrainJob, changed: dict[str, Any]) -> str:
    """What differs: `Learning rate 0.0015 instead of 0.0075, steps 100 instead of 200`."""
    told = [
        f"{TrainSettings.model_fields[name].title} {_said(value)} instead of {_said(getattr(job.settings, name))}"
        for name, value in changed.items()
    ]
    return ", ".join([told[0], *(one[0].lower() + one[1:] for one in told[1:])]) if told else ""


def start(studio: Studio, run: Run, changed: dict[str, Any]) -> Run:
    """Train the same pictures again with these settings; behind others where they wait. Raises UserError."""
    if not changed:
        raise NOTHING_TO_CHANGE
    job = run.job
    settings = check(TrainSettings, job.settings.model_dump() | changed)
    fit.require(studio, job.base, settings)
    return queue.add(studio, job.model_copy(update={"settings": settings, "extended_at": ()}))


def _slower(studio: Studio, job: TrainJob) -> dict[str, Any]:
    """The preset's rate where this one is far above it, else a third, as for a run that diverged."""
    changed = retries.changes(job, "diverged")
    usual = _usual(studio, job)
    if usual and usual.learning_rate * FASTEST < job.settings.learning_rate:
        changed["learning_rate"] = usual.learning_rate
    return changed


def _shorter(studio: Studio, job: TrainJob) -> dict[str, Any]:
    """Half of the steps, or as many as the preset takes for so many pictures where that is fewer."""
    half, usual = job.settings.steps // 2, _usual(studio, job)
    steps = max(FEWEST, min(half, usual.steps) if usual else half)
    return {"steps": steps, "warmup_steps": min(job.settings.warmup_steps, steps // 4)}


def _longer(studio: Studio, job: TrainJob) -> dict[str, Any]:
    """The preset's rate where this one is far below it, else twice the steps."""
    usual = _usual(studio, job)
    if usual and job.settings.learning_rate * FASTEST < usual.learning_rate:
        return {"learning_rate": usual.learning_rate}
    return {"steps": min(2 * job.settings.steps, 100_000)}


def _usual(studio: Studio, job: TrainJob) -> TrainSettings | None:
    """As the preset fills the settings; None where it is gone or does not fit any more."""
    try:
        return presets.fill(studio, job.preset, job.base, len(job.pictures), card=gpu.memory())
    except UserError:
        return None


_MENDS: dict[str, Change] = {
    "memory": lambda studio, job: retries.less_memory(job.settings),
    "diverged": lambda studio, job: retries.changes(job, "diverged"),
    "molten": _slower,
    "no effect": _longer,
    "copying": _shorter,
    "by heart": _shorter,
    "collapse": _shorter,
    "takes over": _slower,
    "forgetting": _slower,
}


def _said(value: Any) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)
