"""How long a training will take on this computer, known from earlier runs like it."""

import functools
import os
from dataclasses import dataclass
from pathlib import Path

from lora_gui.errors import UserError
from lora_gui.protocol.jobs import Base
from lora_gui.settings import TrainSettings
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.runs import Run, all_runs
from lora_gui.studio.things import bases

RECENT = 30  # runs that are looked at
LOADING = 20.0  # seconds
# With the base that ships with the app, on two idle cores: seconds for one picture in one pass; and for what even the
# shortest run does: start its process (3 s, which its own figure leaves out), load, draw samples at both ends. The
# example pictures, each set with its preset, took 17, 45 and 52 s (`python -m lora_gui train --json` prints its own).
SHIPPED_SECONDS, SHIPPED_CORES, SHIPPED_LOADING = 0.0065, 2, 9.0


@dataclass(frozen=True)
class _Finished:
    """What a finished run teaches: `seconds` for so many `steps`."""

    base: str
    settings: TrainSettings
    steps: int
    seconds: float


def estimate(studio: Studio, settings: TrainSettings, base: Base) -> float | None:
    """Minutes a training will take, as `measured`, else with the base that ships with the app while nothing else runs;
    None where nothing is known yet."""
    minutes = measured(studio, settings, base)
    if minutes is None and bases.ships_with_the_app(base):
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        pictures = settings.steps * settings.batch_size * settings.backwards
        return (SHIPPED_LOADING + pictures * SHIPPED_SECONDS * SHIPPED_CORES / min(cores, 8)) / 60
    return minutes


def measured(studio: Studio, settings: TrainSettings, base: Base) -> float | None:
    """Minutes a training will take on this computer, from the newest run like it; None where there was none yet.

    Quick enough for every change of a field: of each run its short result is read, once for each state of its folder.
    """
    pictures = settings.steps * settings.batch_size * settings.backwards
    for run in all_runs(studio)[:RECENT]:
        known = _finished(run.folder, _changed(run.folder))
        if known and known.base == base.path and _alike(known.settings, settings):
            done = known.steps * known.settings.batch_size * known.settings.backwards
            learning = max(known.seconds - LOADING / 2, known.seconds / 2)
            return (LOADING / 2 + learning * pictures / done) / 60
    return None


@functools.lru_cache(maxsize=512)
def _finished(folder: Path, changed: int) -> _Finished | None:
    """What the run in a folder teaches; `changed` (ns since 1970) tells one state of the folder from the next."""
    run = Run(folder)
    try:
        summary = run.summary()
        if summary.state != "finished" or summary.step <= summary.first or summary.seconds <= 0:
            return None
        return _Finished(run.job.base.path, run.job.settings, summary.step - summary.first, summary.seconds)
    except (UserError, OSError):  # a damaged run, which the list of runs speaks of
        return None


def _changed(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:  # deleted a moment ago
        return 0


def _alike(one: TrainSettings, other: TrainSettings) -> bool:
    """Whether a step costs about the same for each picture."""
    fields = (
        "resolution",
        "further_resolutions",
        "precision",
        "gradient_checkpointing",
        "layers",
        "only_layers",
        "train_text_encoder",
        "batch_size",
        "optimizer",
    )
    return all(getattr(one, field) == getattr(other, field) for field in fields)
