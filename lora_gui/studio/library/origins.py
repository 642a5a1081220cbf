"""What a LoRA came of: the run that made it, the pictures it learnt from, and which LoRAs learnt from a picture."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lora_gui import files
from lora_gui.formats import contract, edit
from lora_gui.protocol.jobs import TrainJob
from lora_gui.studio.library import notes, scan
from lora_gui.studio.paths import Studio
from lora_gui.studio.sandbox import picture_digest
from lora_gui.studio.sandbox.picture_decode import DAMAGED
from lora_gui.studio.sandbox.picture_sandbox import Decoder
from lora_gui.studio.tasks.launching import all_runs
from lora_gui.studio.tasks.run import Run
from lora_gui.studio.things.loras import LoraInfo


def jobs(studio: Studio) -> Iterator[tuple[Run, TrainJob]]:
    """Every run of the studio that can be read, with its order; the newest first."""
    for run in all_runs(studio):
        try:
            yield run, run.job
        except files.STRANGE:  # a damaged one, which the list of runs speaks of
            continue


def run_of(studio: Studio, lora: LoraInfo) -> tuple[Run, TrainJob] | None:
    """The run that made a LoRA: it published this file, or learnt from the same pictures if the file was renamed."""
    noted = notes.of(studio, lora.name).run
    for run, job in jobs(studio):
        if noted and run.folder.name == noted:
            return run, job
    dataset = contract.read(edit.metadata(lora.path)).dataset
    same = [(run, job) for run, job in jobs(studio) if job.trigger == lora.trigger]
    by_file = (one for one in same if Path(one[0].summary().lora or "-").name == lora.path.name)
    by_pictures = (one for one in same if dataset and dataset_of(one[1]) == dataset)
    return next(by_file, None) or next(by_pictures, None)


def dataset_of(job: TrainJob) -> str:
    """The digest of the pictures of a run; empty where it was begun before they had any."""
    digests = [picture.digest for picture in job.pictures]
    return contract.digest_of(digests) if digests and all(digests) else ""


def captions_of(studio: Studio, trigger: str) -> list[str]:
    """The captions of every run that taught this trigger word."""
    same = [job for _, job in jobs(studio) if job.trigger == trigger]
    return list(dict.fromkeys(picture.caption for job in same for picture in job.pictures))


@dataclass(frozen=True)
class LearntFrom:
    """A LoRA, or a run without one yet, that learnt from a picture; `by` says who says so: its run or its card."""

    lora: str  # name of the file without suffix; empty where the run has published none
    run: str  # folder name; empty where the card of a LoRA that was brought says so
    by: Literal["run", "card"]


def learnt_from(studio: Studio, digest: str) -> list[LearntFrom]:
    """Every LoRA and run of the studio that learnt from the picture with this digest of its pixels."""
    found = []
    for run, job in jobs(studio):
        if digest in (picture.digest or of_file(Path(picture.path)) for picture in job.pictures):
            lora = Path(run.summary().lora)
            found.append(LearntFrom(lora.stem if lora.is_file() else "", run.folder.name, "run"))
    known = {one.lora for one in found}
    for other in scan.usable(studio):
        if other.name not in known and digest in contract.read(edit.metadata(other.path)).each:
            found.append(LearntFrom(other.name, "", "card"))
    return found


def digest_of(picture: Path) -> str:
    """The digest of any picture, decoded as at an import. Raises UserError where it is none."""
    with Decoder() as decoder:
        return decoder.decode(picture).digest


def of_file(path: Path) -> str:
    """The digest of a picture of the studio, for runs that were begun before they noted it; empty where it is gone."""
    try:
        return _of_state(path, path.stat().st_mtime_ns)
    except DAMAGED:
        return ""


@functools.lru_cache(maxsize=10_000)
def _of_state(path: Path, changed: int) -> str:
    return picture_digest.of_file(path)
