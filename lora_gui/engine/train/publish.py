"""From trained weights to a LoRA file that is known to be whole, finite and to have an effect."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import torch
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes

from lora_gui import families, files
from lora_gui.engine.train import checkpoint
from lora_gui.errors import UserError
from lora_gui.facts import Facts
from lora_gui.formats import cache_names, dialects, header, lycoris, metadata
from lora_gui.formats.lora_file import Layers, Shapes
from lora_gui.protocol.events import Done, Event, Note, Stopped
from lora_gui.protocol.jobs import KeepJob, TrainJob
from lora_gui.protocol.lock import Lock
from lora_gui.protocol.task_folder import TaskFolder

# magnitudes are as large as the base's weights, so that rounding would show
_IN_FULL = (".alpha", ".dora_scale", ".lora_magnitude_vector.weight")
_PATIENCE = 120.0  # seconds


class NoEffectError(UserError):
    """The LoRA changes nothing or cannot be used, so there is nothing to publish."""


def encode(job: TrainJob, facts: Facts, layers: Layers, steps: int) -> bytes:
    """The LoRA file as it is published: half precision, each layer's true alpha and magnitudes in full, and the header
    fields.

    Raises NoEffectError where nothing was learnt or the numbers do not fit.
    """
    if not any(layer.changes for layer in layers.values()):
        raise NoEffectError("The LoRA has not learnt anything yet.", "Train longer, or with a higher learning rate.")
    tensors = {
        key: (value if key.endswith(_IN_FULL) else value.half()).contiguous()
        for key, value in dialects.build(layers, facts).items()
    }
    if not all(bool(value.isfinite().all()) for value in tensors.values()):
        raise NoEffectError(
            "The LoRA holds values that are not numbers, so it was not saved.",
            f"Train again with a lower learning rate, such as {job.settings.learning_rate / 2:g}.",
        )
    fields = metadata.lora_metadata(job, facts, steps)
    return metadata.with_hashes(to_bytes(tensors, fields))


def decode(data: bytes, facts: Facts, shapes: Shapes) -> Layers:
    """The LoRA in the bytes of a file that `encode` made, for a base whose layers are `shapes`."""
    tensors = from_bytes(data)
    dialect = dialects.own(facts, lycoris.of_lokr(tensors))
    return dialects.parse(tensors, {}, dialect, shapes, facts, learns=True)


def from_checkpoint(job: TrainJob, task: TaskFolder) -> Iterator[Event]:
    """Publish the newest whole checkpoint without loading the base; the last event is Stopped."""
    found, damaged = checkpoint.newest(task.checkpoints)
    yield from map(Note, damaged)
    if found is None:
        yield Stopped()
        return
    facts = families.facts_of(job.base.family)
    yield from stopped(job, facts, _read(found.lora, facts), found.step)


def kept(order: KeepJob) -> Iterator[Event]:
    """Publish what a run had learnt by a step, under a name of its own, as the run would have. Raises UserError."""
    job = order.run.model_copy(update={"name": f"{order.run.name}-step-{order.step}"})
    facts = families.facts_of(job.base.family)
    path, digest = publish(encode(job, facts, _read(Path(order.lora), facts), order.step), job)
    yield Done(lora=str(path), sha256=digest, steps=order.step)


def _read(lora: Path, facts: Facts) -> Layers:
    """What learns in the file of a checkpoint."""
    return dialects.read(lora, None, facts, [facts], learns=True)


def stopped(job: TrainJob, facts: Facts, layers: Layers, step: int) -> Iterator[Event]:
    """Publish what was learnt by `step`, undrawn; a sentence where that is nothing."""
    try:
        path, digest = publish(encode(job, facts, layers, step), job)
    except NoEffectError as error:
        yield Note(f"{error.what} Nothing was saved.")
        yield Stopped(step)
    else:
        yield Stopped(step, str(path), digest)


def publish(data: bytes, job: TrainJob) -> tuple[Path, str]:
    """Save the file under the LoRA's name, or the next free one, and read it back; returns its path and sha256.

    The same LoRA is not saved twice: the process may have died between saving it and saying so, and a run that is
    trained further may be stopped before its next step.
    """
    folder, digest = Path(job.publish_to), hashlib.sha256(data).hexdigest()
    told = _identity(io.BytesIO(data), len(data))
    for path in sorted(folder.glob("*.safetensors")):
        if _holds(path, told):
            return path, files.sha256(path)
    with _naming(job):
        path = files.free_name(folder, job.name, ".safetensors")
        files.write_bytes(path, data)
    if files.sha256(path) != digest:
        raise UserError(f"{path.name} reads differently from what was written.", "Check the disk, then resume the run.")
    return path, digest


@contextlib.contextmanager
def _naming(job: TrainJob) -> Iterator[None]:
    """While nobody else gives a LoRA of the studio a name; who takes too long for that is not waited for."""
    lock = Lock(Path(job.cache, cache_names.NAMING))
    if job.cache:
        with contextlib.suppress(OSError, UserError):  # what was learnt is not lost for a lock that a drive refuses
            files.make_folder(lock.path.parent)
            lock.hold(_PATIENCE)
    try:
        yield
    finally:
        lock.release()


def _holds(path: Path, told: tuple[Any, ...]) -> bool:
    """Whether a file is, whole, the LoRA that `_identity` told of; whatever else its fields say of the run."""
    try:
        if not path.is_file():
            return False
        with open(path, "rb") as file:
            if _identity(file, path.stat().st_size) != told:
                return False
            return hashlib.file_digest(file, "sha256").hexdigest() == told[0]
    except (OSError, UserError):  # a stranger's, or gone a moment ago
        return False


def _identity(file: IO[bytes], size: int) -> tuple[Any, ...]:
    """The sha256 that its tensors should have, its name, trigger and steps, and its tensors; `file` stands after them.

    Raises UserError where it is no .safetensors file.
    """
    tensors, fields, first = header.entries(file, "", size)
    file.seek(first)
    known = ("sshs_model_hash", "modelspec.title", "modelspec.trigger_phrase", "ss_steps")
    return *(fields.get(field) for field in known), tensors


def all_finite(weights: list[torch.nn.Parameter]) -> bool:
    """Whether all weights are numbers; waits for the device once."""
    return bool(torch.stack([weight.detach().isfinite().all() for weight in weights]).all())
