"""A run from its job to its published LoRA, as a stream of events. Knows no family by name and no process."""

from __future__ import annotations

import itertools
import math
import random
import shutil
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, TypeVar

import torch

from lora_gui import files
from lora_gui.engine import buckets, cache, checkpoint, device, loading, lora, optimizers, publish, unpack
from lora_gui.engine.bases import opening
from lora_gui.engine.samples import Samples, prompts_of
from lora_gui.errors import UserError
from lora_gui.events import Done, Event, Note, Paused, Phase, Saved, Started, Step, Stopped
from lora_gui.families.base import Family
from lora_gui.formats import dialects
from lora_gui.formats import metadata as headers
from lora_gui.jobs import TrainJob

_NAME = "trained"  # of the LoRA within the base
_READ_EVERY = 10  # steps, and
_READ_AFTER = 1.0  # seconds: the loss is looked at when either has passed; each look waits for the device
_EXPLODED = 10.0  # times the first mean loss, or times 1 where that is less: what predicting nothing costs
_ROOM = 100_000_000  # bytes that stay free on the disk beside the checkpoints to come

T = TypeVar("T")


def train(job: TrainJob, folder: Path, family: Family) -> Iterator[Event]:
    """Train in the run's folder, from its newest whole checkpoint if it has one. Raises UserError where it cannot.

    A file called `stop` in the folder ends it after the step under way; what was learnt is then published. One called
    `pause` ends it too: everything is kept for the next start, and nothing is published.
    """
    began = time.monotonic()
    for place in (Path(job.publish_to), folder, folder / "samples"):
        files.sweep(place)
    found, damaged = checkpoint.newest(folder / "checkpoints")
    first = found.step if found else 0
    yield Started(job.settings.steps, first)
    yield from map(Note, damaged)
    try:
        learning, samples = yield from _pausable(_prepare(job, folder, family, found), folder)
    except _PauseError:
        yield Paused(first)
        return
    paused = yield from _steps(learning, samples)
    if paused:
        yield from learning.keep()
        yield paused
    else:
        yield from _finish(learning, samples, began)


class _PauseError(Exception):
    """A pause was asked for before there was anything to keep."""


def _pausable(work: Generator[Event, None, T], folder: Path) -> Generator[Event, None, T]:
    """The same events and the same result, but given up between two events where a pause is asked for."""
    while True:
        try:
            event = next(work)
        except StopIteration as end:
            return end.value
        yield event
        if (folder / "pause").exists():
            raise _PauseError


def _prepare(
    job: TrainJob, folder: Path, family: Family, found: checkpoint.Checkpoint | None
) -> Generator[Event, None, tuple[Learning, Samples]]:
    """Everything before the first step: what is encoded, the base, and what an earlier start had learnt."""
    where, dtype = device.pick(), device.dtype_of(job.settings.precision)
    device.prepare(where)
    base = yield from unpack.as_folder(job.base, job.cache)
    job = job.model_copy(update={"base": base})
    with opening(base):
        family.require_learning(Path(base.path))
    yield from cache.unread(job, family)
    encoded = yield from cache.build(job, family, prompts_of(job), where, dtype)
    yield Phase("Loading the base")
    with opening(job.base):
        parts = _load(job, family, where, dtype)
    samples = Samples(job, family, parts, encoded.prompts, folder / "samples", where, dtype)
    yield from samples.draw("base", 0, len(samples.prompts))
    learning = Learning(job, family, parts, encoded, where, folder)
    if found:
        learning.restore(found)
    return learning, samples


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


def _steps(learning: Learning, samples: Samples) -> Generator[Event, None, Paused | None]:
    """The steps that are left, until they are done or an end is asked for; returns the pause if that is how it ends."""
    settings = learning.job.settings
    began = read = time.monotonic()
    first = learning.step
    batches = buckets.batches(learning.cache.sizes, settings.batch_size, settings.seed)
    batches = itertools.islice(batches, first * settings.accumulation, None)
    if first and first < settings.steps and settings.sample_every and first % settings.sample_every == 0:
        yield from _draw(learning, samples)  # it may have died after keeping this step and before drawing it
    while learning.step < settings.steps:
        if learning.asked("stop"):
            return None
        if learning.asked("pause"):
            return Paused(learning.step)
        learning.one_step(batches)
        step = learning.step
        save = step % settings.checkpoint_every == 0 and step < settings.steps
        draw = settings.sample_every and step % settings.sample_every == 0 and step < settings.steps
        due = step % _READ_EVERY == 0 or time.monotonic() - read > _READ_AFTER or step == settings.steps
        if save or draw or due:
            read = time.monotonic()
            left = (read - began) / (step - first) * (settings.steps - step)
            yield learning.said(left)
            if short := learning.short_of_disk():
                return short
        if save:
            yield learning.save()
        if draw:
            yield from _draw(learning, samples)
    return None


def _draw(learning: Learning, samples: Samples) -> Iterator[Event]:
    yield from samples.draw(f"step-{learning.step:06}", learning.step, samples.affordable())


def _finish(learning: Learning, samples: Samples, began: float) -> Iterator[Event]:
    """Publish what was learnt, drawn once with exactly the weights of the published file."""
    job, step = learning.job, learning.step
    stopped = step < job.settings.steps
    yield from learning.keep()
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
        self.first_loss = 0.0  # the first mean that was read

    def one_step(self, batches: Iterator[list[int]]) -> None:
        """One improvement. Its noise and its pictures follow from the seed and the number of the step alone."""
        settings = self.job.settings
        self.generator.manual_seed(settings.seed * 1_000_003 + self.step)
        rng = random.Random(f"{settings.seed} {self.step}")
        share = optimizers.rate(self.step, settings, self.job.extended_at)
        optimizers.set_rate(self.optimizer, settings.learning_rate * share)
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

    def said(self, left: float = 0.0) -> Step:
        """Where it stands; `left` in seconds. Raises UserError where the training broke."""
        settings = self.job.settings
        return Step(self.step, settings.steps, self.mean_loss(), optimizers.shown_rate(self.optimizer), left)

    def mean_loss(self) -> float:
        """The mean loss since it was last read. Raises UserError where the training broke."""
        mean = float(torch.stack(self.losses).mean())
        self.losses.clear()
        finite = math.isfinite(mean) and publish.all_finite(self.weights)
        self.first_loss = self.first_loss or max(mean, 1.0)
        if not finite or mean > _EXPLODED * self.first_loss:
            last, _ = checkpoint.newest(self.folder / "checkpoints")
            kept = f"The state of step {last.step} is kept" if last else "Nothing could be kept"
            broke = f"its loss rose to {mean:.3g}" if finite else "its numbers became infinite"
            raise UserError(
                f"The training broke before step {self.step}: {broke}. {kept}.",
                f"Train again with a lower learning rate, such as {self.job.settings.learning_rate / 3:.1g}.",
                lacking="calm",
            )
        return mean

    def keep(self) -> Iterator[Event]:
        """Say where it stands and keep it, unless its numbers broke since they were last looked at."""
        if self.losses:
            yield self.said()
        if self.step:
            yield self.save()

    def short_of_disk(self) -> Paused | None:
        """The pause that is due where the disk has hardly room for the next checkpoints."""
        state = 3 * sum(weight.numel() * weight.element_size() for weight in self.weights)  # with two averages
        free = shutil.disk_usage(self.folder).free
        if free > _ROOM + 3 * state:
            return None
        what = f"Only {free / 1e9:.1f} GB are free on your studio's disk, so the run paused by itself."
        return Paused(self.step, what, "Make some space, then resume; nothing is lost.")

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

    def asked(self, sign: str) -> bool:
        return (self.folder / sign).exists()
