"""A run from its job to its published LoRA, as a stream of events. Knows no family by name and no process."""

from __future__ import annotations

import itertools
import math
import random
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import torch

from lora_gui.engine import buckets, cache, checkpoint, device, loading, lora, optimizers, publish
from lora_gui.engine.bases import opening
from lora_gui.engine.samples import Samples, prompts_of
from lora_gui.errors import UserError
from lora_gui.events import Done, Event, Note, Phase, Saved, Started, Step, Stopped
from lora_gui.families.base import Family
from lora_gui.formats import dialects
from lora_gui.formats import metadata as headers
from lora_gui.jobs import TrainJob

_NAME = "trained"  # of the LoRA within the base
_READ_EVERY = 10  # steps, and
_READ_AFTER = 1.0  # seconds: the loss is looked at when either has passed; each look waits for the device


def train(job: TrainJob, folder: Path, family: Family) -> Iterator[Event]:
    """Train in the run's folder, from its newest whole checkpoint if it has one. Raises UserError where it cannot.

    A file called `stop` in the folder ends it after the step under way; what was learnt is then published.
    """
    began = time.monotonic()
    where, dtype = device.pick(), device.dtype_of(job.settings.precision)
    device.prepare(where)
    found, damaged = checkpoint.newest(folder / "checkpoints")
    yield Started(job.settings.steps, found.step if found else 0)
    yield from map(Note, damaged)
    encoded = yield from cache.build(job, family, prompts_of(job), where, dtype)
    yield Phase("Loading the base")
    with opening(job.base):
        parts = _load(job, family, where, dtype)
    samples = Samples(job, family, parts, encoded.prompts, folder / "samples", where, dtype)
    yield from samples.draw("base", 0, len(samples.prompts))
    learning = Learning(job, family, parts, encoded, where, folder)
    if found:
        learning.restore(found)
    yield from _steps(learning, samples)
    yield from _finish(learning, samples, began)


def _load(job: TrainJob, family: Family, where: torch.device, dtype: torch.dtype) -> lora.Parts:
    base = Path(job.base.path)
    kept = Path(job.cache) / "quantised" if job.cache else None
    parts: dict[str, Any] = family.denoisers(base, where, dtype, loading.denoiser(job.settings, kept))
    if job.settings.gradient_checkpointing or job.settings.streamed_blocks:  # a streamed block is run again anyway
        for part in parts.values():
            part.enable_gradient_checkpointing()
    if job.settings.train_text_encoder:
        texts = family.text_encoders(base, where, dtype)
        if not texts:
            raise UserError(f"The text encoder of {job.base.title} cannot be trained.", "Switch this off in Details.")
        parts |= texts
    return parts


def _steps(learning: Learning, samples: Samples) -> Iterator[Event]:
    """The steps that are left, until they are done or a stop is asked for."""
    settings = learning.job.settings
    began = read = time.monotonic()
    first = learning.step
    batches = buckets.batches(learning.cache.sizes, settings.batch_size, settings.seed)
    batches = itertools.islice(batches, first * settings.accumulation, None)
    while learning.step < settings.steps and not learning.asked_to_stop():
        learning.one_step(batches)
        step = learning.step
        save = step % settings.checkpoint_every == 0 and step < settings.steps
        draw = settings.sample_every and step % settings.sample_every == 0 and step < settings.steps
        due = step % _READ_EVERY == 0 or time.monotonic() - read > _READ_AFTER or step == settings.steps
        if save or draw or due:
            read = time.monotonic()
            left = (read - began) / (step - first) * (settings.steps - step)
            yield Step(step, settings.steps, learning.mean_loss(), optimizers.shown_rate(learning.optimizer), left)
        if save:
            yield learning.save()
        if draw:
            yield from samples.draw(f"step-{step:06}", step, samples.affordable())


def _finish(learning: Learning, samples: Samples, began: float) -> Iterator[Event]:
    """Publish what was learnt, drawn once with exactly the weights of the published file."""
    job, step = learning.job, learning.step
    stopped = step < job.settings.steps
    if step:
        yield learning.save()
    try:
        path, digest = yield from _publish(learning, samples)
    except publish.NoEffectError as error:
        if not stopped:
            raise
        yield Note(f"{error.what} Nothing was published.")
        yield Stopped(step)
        return
    if stopped:
        yield Stopped(step, str(path), digest)
    else:
        yield Done(str(path), digest, step, round(time.monotonic() - began, 1))


def _publish(learning: Learning, samples: Samples) -> Generator[Event, None, tuple[Path, str]]:
    job, facts = learning.job, learning.family.facts
    yield Phase("Publishing the LoRA")
    data = publish.encode(job, facts, lora.take(learning.parts, _NAME), learning.step)
    lora.put(learning.parts, publish.decode(data, facts, learning.parts), _NAME)
    count = len(samples.prompts) if learning.step == job.settings.steps else 1
    yield from samples.draw("final", learning.step, count, again=True)
    if not samples.differ("base", "final"):
        raise publish.NoEffectError(
            "The LoRA changes nothing in a drawing.", "Train more steps, or with a higher learning rate."
        )
    return publish.publish(data, job)


class Learning:
    """The LoRA, its optimizer and the step: what changes while a run goes on, and what a checkpoint keeps."""

    def __init__(
        self, job: TrainJob, family: Family, parts: lora.Parts, encoded: cache.Cache, where: torch.device, folder: Path
    ) -> None:
        self.job, self.family, self.parts, self.cache, self.folder = job, family, parts, encoded, folder
        self.weights = lora.add_new(parts, family, job.settings, _NAME)
        self.optimizer = optimizers.OPTIMIZERS[job.settings.optimizer](self.weights, job.settings)
        self.scaler = torch.amp.GradScaler(where.type, enabled=job.settings.precision == "fp16")
        self.schedule = family.schedule(Path(job.base.path), where)
        self.generator = torch.Generator(where)
        self.step = 0
        self.losses: list[torch.Tensor] = []  # on the device, since they were last read

    def one_step(self, batches: Iterator[list[int]]) -> None:
        """One improvement. Its noise and its pictures follow from the seed and the number of the step alone."""
        settings = self.job.settings
        self.generator.manual_seed(settings.seed * 1_000_003 + self.step)
        rng = random.Random(f"{settings.seed} {self.step}")
        optimizers.set_rate(self.optimizer, settings.learning_rate * optimizers.rate(self.step, settings))
        for _ in range(settings.accumulation):
            batch = self.cache.batch(next(batches), settings.caption_dropout, rng)
            loss = self.family.loss(self.parts, batch, self.schedule, settings, self.generator).mean()
            self.scaler.scale(loss / settings.accumulation).backward()
            self.losses.append(loss.detach())
        self.scaler.unscale_(self.optimizer)
        if settings.max_grad_norm:
            torch.nn.utils.clip_grad_norm_(self.weights, settings.max_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1

    def mean_loss(self) -> float:
        """The mean loss since it was last read. Raises UserError where the training broke."""
        mean = float(torch.stack(self.losses).mean())
        self.losses.clear()
        if not math.isfinite(mean) or not publish.all_finite(self.weights):
            last, _ = checkpoint.newest(self.folder / "checkpoints")
            kept = f"The state of step {last.step} is kept" if last else "Nothing could be kept"
            raise UserError(
                f"The training broke before step {self.step}: its numbers became infinite. {kept}.",
                f"Train again with a lower learning rate, such as {self.job.settings.learning_rate / 3:.1g}.",
            )
        return mean

    def save(self) -> Saved:
        """Keep everything the next start needs."""
        metadata = headers.lora_metadata(self.job, self.family.facts, self.step)
        layers = lora.take(self.parts, _NAME)
        further = {"scaler": self.scaler.state_dict()}
        kept = checkpoint.save(self.folder / "checkpoints", self.step, layers, metadata, self.optimizer, further)
        return Saved(self.step, str(kept.folder))

    def restore(self, found: checkpoint.Checkpoint) -> None:
        """Go on from a checkpoint as if nothing had happened."""
        facts, shapes = self.family.facts, lora.shapes(self.parts)
        lora.put(self.parts, dialects.read(found.lora, shapes, facts, [facts]), _NAME)
        self.scaler.load_state_dict(checkpoint.restore(found, self.optimizer)["scaler"])
        self.step = found.step

    def asked_to_stop(self) -> bool:
        return (self.folder / "stop").exists()
