"""What a run has kept on the way, put among the LoRAs as its end is."""

from pathlib import Path

from lora_gui.errors import UserError
from lora_gui.protocol.jobs import KeepJob
from lora_gui.protocol.task_folder import ADAPTER, step_of
from lora_gui.studio.library import notes
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import process
from lora_gui.studio.tasks.run import Run
from lora_gui.studio.things import loras


def newest(studio: Studio, run: Run) -> Path:
    """The LoRA of a run's newest checkpoint, put among the LoRAs, where it stays; its path. Raises UserError."""
    kept = run.checkpoint()
    if kept is None:
        raise UserError("This run has not kept anything yet.", "Resume it.")
    return keep(studio, run, kept)


def keep(studio: Studio, run: Run, kept: Path) -> Path:
    """Put the LoRA in the folder of a checkpoint among the LoRAs, once; its path. Raises UserError.

    A child writes it as the run would have, had it been stopped there: other programs read no checkpoint.
    """
    source, step = kept / ADAPTER, step_of(kept)
    loras.describe(source)  # a folder that came from somebody else may hold anything
    order = KeepJob(run=run.job, lora=str(source.resolve()), step=step)
    path = Path(process.done("keep", order, studio.cache / "keep.txt").lora)
    notes.change(studio, path.stem, run=run.folder.name, step=step)
    return path
