"""From trained weights to a LoRA file that is known to be whole, finite and to have an effect."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes

from lora_gui import families, files
from lora_gui.engine.train import checkpoint
from lora_gui.errors import UserError
from lora_gui.facts import Facts
from lora_gui.formats import dialects, metadata
from lora_gui.formats.lora_file import Layers, Shapes
from lora_gui.protocol.events import Event, Note, Stopped
from lora_gui.protocol.jobs import TrainJob
from lora_gui.protocol.task_folder import TaskFolder


class NoEffectError(UserError):
    """The LoRA changes nothing or cannot be used, so there is nothing to publish."""


def encode(job: TrainJob, facts: Facts, layers: Layers, steps: int) -> bytes:
    """The LoRA file as it is published: half precision, each layer's true alpha in full, and the header fields.

    Raises NoEffectError where nothing was learnt or the numbers do not fit.
    """
    if not any(bool(layer.up.any()) for layer in layers.values()):
        raise NoEffectError("The LoRA has not learnt anything yet.", "Train longer, or with a higher learning rate.")
    tensors = {
        key: (value if key.endswith(".alpha") else value.half()).contiguous()
        for key, value in dialects.build(layers, facts).items()
    }
    if not all(bool(value.isfinite().all()) for value in tensors.values()):
        raise NoEffectError(
            "The LoRA holds values that are not numbers, so it was not published.",
            f"Train again with a lower learning rate, such as {job.settings.learning_rate / 2:g}.",
        )
    fields = metadata.lora_metadata(job, facts, steps)
    return metadata.with_hashes(to_bytes(tensors, fields))


def decode(data: bytes, facts: Facts, shapes: Shapes) -> Layers:
    """The LoRA in the bytes of a file that `encode` made, for a base whose layers are `shapes`."""
    return dialects.parse(from_bytes(data), {}, facts.dialects[0], shapes, facts)


def from_checkpoint(job: TrainJob, task: TaskFolder) -> Iterator[Event]:
    """Publish the newest whole checkpoint without loading the base; the last event is Stopped."""
    found, damaged = checkpoint.newest(task.checkpoints)
    yield from map(Note, damaged)
    if found is None:
        yield Stopped()
        return
    facts = families.facts_of(job.base.family)
    layers = dialects.read(found.lora, None, facts, [facts])
    yield from stopped(job, facts, layers, found.step)


def stopped(job: TrainJob, facts: Facts, layers: Layers, step: int) -> Iterator[Event]:
    """Publish what was learnt by `step`, undrawn; a sentence where that is nothing."""
    try:
        path, digest = publish(encode(job, facts, layers, step), job)
    except NoEffectError as error:
        yield Note(f"{error.what} Nothing was published.")
        yield Stopped(step)
    else:
        yield Stopped(step, str(path), digest)


def publish(data: bytes, job: TrainJob) -> tuple[Path, str]:
    """Save the file under the LoRA's name, or the next free one, and read it back; returns its path and sha256.

    The same file is not saved twice: the process may have died between saving it and saying so.
    """
    folder, digest = Path(job.publish_to), hashlib.sha256(data).hexdigest()
    for path in sorted(folder.glob(f"{glob.escape(job.name)}*.safetensors")):
        if path.stat().st_size == len(data) and files.sha256(path) == digest:
            return path, digest
    path = files.free_name(folder, job.name, ".safetensors")
    files.write_bytes(path, data)
    if files.sha256(path) != digest:
        raise UserError(f"{path.name} reads differently from what was written.", "Check the disk, then resume the run.")
    return path, digest


def all_finite(weights: list[torch.nn.Parameter]) -> bool:
    """Whether all weights are numbers; waits for the device once."""
    return bool(torch.stack([weight.detach().isfinite().all() for weight in weights]).all())
