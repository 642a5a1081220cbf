"""How long a training will take on this computer, known from earlier runs like it."""

import os

from lora_gui.errors import UserError
from lora_gui.protocol.jobs import Base
from lora_gui.settings import TrainSettings
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.runs import all_runs
from lora_gui.studio.things import bases

RECENT = 30  # runs that are looked at
# Seconds for one picture in one step and for loading, with the base that ships with the app on two cores; measured.
SHIPPED_SECONDS, SHIPPED_CORES, LOADING = 0.032, 2, 20.0


def estimate(studio: Studio, settings: TrainSettings, base: Base) -> float | None:
    """Minutes a training will take on this computer, from earlier runs like it; None where nothing is known yet."""
    pictures = settings.steps * settings.batch_size * settings.accumulation
    for run in all_runs(studio)[:RECENT]:
        status = run.status()
        if status.state != "finished" or status.step <= status.first or not status.seconds:
            continue
        try:
            job = run.job
        except UserError:
            continue
        if job.base.path == base.path and _alike(job.settings, settings):
            done = (status.step - status.first) * job.settings.batch_size * job.settings.accumulation
            learning = max(status.seconds - LOADING / 2, status.seconds / 2)
            return (LOADING / 2 + learning * pictures / done) / 60
    if bases.ships_with_the_app(base):
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return (LOADING + pictures * SHIPPED_SECONDS * SHIPPED_CORES / min(cores, 8)) / 60
    return None


def _alike(one: TrainSettings, other: TrainSettings) -> bool:
    """Whether a step costs about the same for each picture."""
    fields = (
        "resolution",
        "precision",
        "gradient_checkpointing",
        "layers",
        "only_layers",
        "train_text_encoder",
        "batch_size",
        "optimizer",
    )
    return all(getattr(one, field) == getattr(other, field) for field in fields)
