"""What a run that failed may be tried again with: less memory, or a calmer learning rate."""

from typing import Any

from lora_gui.protocol.jobs import TrainJob
from lora_gui.settings import RECOMPUTED, TrainSettings
from lora_gui.studio.capacity import gpu
from lora_gui.studio.tasks.status import RunStatus

BY_ITSELF = 2  # times in a row that a run goes on with less memory without being told to
FIRST_STREAMED, MOST_STREAMED = 8, 64  # blocks; no base has more that are worth it
SMALLEST = 256  # px, the side below which pictures are not made smaller to save memory


def changes(job: TrainJob, cause: str) -> dict[str, Any]:
    """The settings to change where `cause` (as in events.Failed) was missing; empty where nothing is known."""
    settings = job.settings
    if cause == "memory":
        return less_memory(settings)
    if cause == "diverged":
        rates = {name: getattr(settings, name) for name in ("learning_rate", "text_encoder_learning_rate")}
        return {name: float(f"{rate / 3:.1g}") for name, rate in rates.items() if rate}
    return {}


def by_itself(job: TrainJob, status: RunStatus) -> dict[str, Any]:
    """The settings to go on with unasked, for a run that ran out of memory; empty where the user is to decide."""
    tried = status.retries < BY_ITSELF and status.state == "failed" and status.cause == "memory"
    return less_memory(job.settings) if tried else {}


def less_memory(settings: TrainSettings) -> dict[str, Any]:
    """The next thing to give up for memory: time first, then how many pictures at once, then their size.

    What saves the most comes before what costs the least, unlike in the memory plan, since few tries are made unasked;
    and never the precision: a LoRA goes on on the base it began with. On a card with memory of its own, blocks wait in
    RAM before pictures are made smaller, since nothing that is learnt changes by that.
    """
    if settings.gradient_checkpointing in ("none", "feed_forward"):
        return {"gradient_checkpointing": "blocks"}
    if gpu.has_its_own() and settings.gradient_checkpointing == "blocks":
        return {"gradient_checkpointing": "blocks_in_ram"}
    if settings.batch_size > 1:  # as many pictures in a step as before, gathered from smaller batches
        batch, together = settings.batch_size // 2, settings.batch_size * settings.accumulation
        return {"batch_size": batch, "accumulation": min(64, -(-together // batch))}
    streamed = max(FIRST_STREAMED, 2 * settings.streamed_blocks)
    if gpu.has_its_own() and streamed <= MOST_STREAMED:
        return {"streamed_blocks": streamed}
    smaller = settings.resolution * 3 // 4 // 64 * 64
    return {"resolution": smaller} if smaller >= SMALLEST else {}


def in_words(changed: dict[str, Any]) -> str:
    """What is changed, as a sentence for the user."""
    titles = [str(TrainSettings.model_fields[key].title) for key in changed]
    labels = [title[:1].lower() + title[1:] for title in titles]
    values = [RECOMPUTED.get(value, value) if isinstance(value, str) else f"{value:g}" for value in changed.values()]
    return "Now with " + ", ".join(f"{label} {value}" for label, value in zip(labels, values, strict=True)) + "."
