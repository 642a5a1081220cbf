"""A run from its job to its published LoRA, as a stream of events. Knows no family by name and no process."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeVar

import torch

from lora_gui import files
from lora_gui.engine.load import device, loading, lora, packed, prediction, quantize, unpack
from lora_gui.engine.load.opening import opening
from lora_gui.engine.train import (
    beginning,
    buckets,
    cache,
    checkpoint,
    class_pictures,
    compiled,
    losses,
    masks,
    optimizers,
    publish,
    recompute,
    unused,
)
from lora_gui.engine.train.ranks import ALONE, Ranks
from lora_gui.engine.train.samples import Samples, left_out, planned
from lora_gui.engine.train.step import NAME, TrainState
from lora_gui.errors import UserError
from lora_gui.families.base import Family
from lora_gui.protocol.events import Done, Event, Note, Paused, Phase, Started
from lora_gui.protocol.jobs import TrainJob
from lora_gui.protocol.task_folder import ASKS, TaskFolder
from lora_gui.settings import TrainSettings

_READ_EVERY = 10  # steps, and
_READ_AFTER = 1.0  # seconds: the loss is looked at when either has passed; each look waits for the device

_ENDS = ("", *ASKS)  # what the leading process tells the others before each step

T = TypeVar("T")


def train(
    job: TrainJob, folder: Path, family: Family, begun: Callable[[], None] = lambda: None, ranks: Ranks = ALONE
) -> Iterator[Event]:
    """Train in the run's folder, from its newest whole checkpoint if it has one. Raises UserError where it cannot.

    Asked to stop (see `TaskFolder.ask`), it ends after the step under way and publishes what was learnt; asked to
    pause, it keeps everything for the next start. `begun` is called once, right before the first step. Of several
    processes the leading one alone writes, and what the others say is for nobody.
    """
    began, task = time.monotonic(), TaskFolder(folder)
    found, damaged = _begin(job, task, ranks)
    first = found.step if found else 0
    yield Started(job.settings.steps, first)
    yield from map(Note, damaged)
    settings = job.settings
    told = optimizers.shortened_warmup(settings, job.extended_at), ranks.note(settings)
    yield from map(Note, filter(None, told))
    yield from unused.notes(settings)
    try:
        state, samples = yield from _breakable(_prepare(job, task, family, found, ranks), task, ranks)
    except _BrokenOffError:
        if task.asked() == "pause":
            yield Paused(first)
        else:
            yield from publish.from_checkpoint(job, task)
        return
    begun()
    paused = yield from _steps(state, samples, task)
    if not ranks.leads:
        return
    if paused:
        yield from state.keep()
        yield paused
    elif state.step < job.settings.steps:
        yield from state.keep()
        yield Phase("Saving the LoRA")
        yield from publish.stopped(job, family.facts, state.layers(), state.step)
    else:
        yield from _finish(state, samples, began)


def _begin(job: TrainJob, task: TaskFolder, ranks: Ranks) -> tuple[checkpoint.Checkpoint | None, list[str]]:
    """The checkpoint that all processes go on from, and a sentence for each that is damaged."""
    if not ranks.leads:
        step = ranks.told(0)
        return checkpoint.Checkpoint(task.checkpoint(step), step) if step else None, []
    for place in (Path(job.publish_to), task.path, task.samples):
        files.sweep(place)
    found, damaged = checkpoint.newest(task.checkpoints)
    ranks.told(found.step if found else 0)
    return found, damaged


class _BrokenOffError(Exception):
    """An end was asked for before the first step."""


def _breakable(work: Generator[Event, None, T], task: TaskFolder, ranks: Ranks) -> Generator[Event, None, T]:
    """The same events and the same result, but given up between two events where an end is asked for."""
    while True:
        try:
            event = next(work)
        except StopIteration as end:
            return end.value
        yield event
        if ranks.leads and task.asked():
            raise _BrokenOffError


def _prepare(
    job: TrainJob, task: TaskFolder, family: Family, found: checkpoint.Checkpoint | None, ranks: Ranks
) -> Generator[Event, None, tuple[TrainState, Samples]]:
    """Everything before the first step: what is encoded, the base, and what an earlier start had learnt."""
    where = device.pick()
    card = device.capability(where)
    alone = device.is_processor(where, card)
    dtype, slow = device.training_dtype(job.settings.precision, family.facts, card, alone)
    settings, told = device.settled(job.settings, where.type == "mps")
    yield from map(Note, filter(None, (slow, *told)))
    job = job.model_copy(update={"settings": settings})
    device.prepare(where)
    with ranks.leading_first():
        base = yield from unpack.as_folder(job.base, job.cache)
    job = job.model_copy(update={"base": base})
    with opening(base):
        family.require_learning(Path(base.path))
        noising = family.noising(Path(base.path), where)
    yield from prediction.unused(noising, job.settings.prediction)
    yield from losses.notes(noising, job.settings)
    yield from cache.unread(job, family)
    yield from masks.notes(job)
    prompts, _ = planned(job, family)
    yield from left_out(job, prompts)
    with ranks.leading_first() if job.settings.class_pictures else nullcontext():
        whole = yield from class_pictures.beside(job, family, task.path, where, dtype, _load)
    encoded = yield from cache.build(whole, family, prompts, where, dtype, ranks)
    yield Phase("Loading the base")
    kept = job.settings.precision in quantize.PRECISIONS  # for the next time, by the first that comes
    with opening(job.base), ranks.leading_first() if kept else nullcontext():
        parts = yield from _load(job, family, where, dtype)
    samples = Samples(job, family, parts, encoded.prompts, task, where, dtype)
    if ranks.leads:
        yield from samples.draw("base", 0)
    state = TrainState(job, family, parts, encoded, where, dtype, task.path, ranks)
    if job.settings.compile_blocks:
        yield from compiled.compile_blocks(parts, where)
    if back := len(state.meter.back):
        why = "so that it shows when the others are learnt by heart"
        yield Note(f"{back} of your {len(job.pictures)} pictures are kept back, {why}.")
    if found:
        yield from state.restore(found)
    else:
        yield from beginning.notes(job, task.path, family, parts, NAME)
    for one in state.masters:
        ranks.same(one.flat.data)
        one.refresh()
    return state, samples


def _load(
    job: TrainJob, family: Family, where: torch.device, dtype: torch.dtype
) -> Generator[Event, None, lora.Parts]:
    base, notes = Path(job.base.path), list[str]()
    load = loading.denoiser(job.settings, job.cache, notes.append)
    parts: dict[str, Any] = family.denoisers(base, where, dtype, load)
    yield from map(Note, notes)
    for part in parts.values():
        part.requires_grad_(False)
        if not job.settings.dora:  # which needs the weights as they are
            packed.pack(part)
        recompute.apply(part, recompute.wanted(job.settings, where), where)
    if job.settings.train_text_encoder:
        texts = family.text_encoders(base, where, dtype)
        if not texts:
            raise UserError(f"The text encoder of {job.base.title} cannot be trained.", "Switch this off in Details.")
        parts |= texts
    return parts


def _steps(state: TrainState, samples: Samples, task: TaskFolder) -> Generator[Event, None, Paused | None]:
    """The steps that are left, until they are done or an end is asked for; returns the pause if that is how it ends."""
    settings, ranks = state.job.settings, state.ranks
    began = read = time.monotonic()
    first = state.step
    batches = itertools.islice(_batches(state), first * settings.accumulation, None)
    if ranks.leads and not first:
        yield from _measure(state)
    if ranks.leads and first and _draws(first, settings):
        yield from _draw(state, samples)  # it may have died after keeping this step and before drawing it
    short: Paused | None = None
    while state.step < settings.steps:
        asked = _ENDS[ranks.told(_ENDS.index("pause" if short else task.asked()))]
        if asked:
            return short or Paused(state.step) if asked == "pause" else None
        state.one_step(batches)
        yield from state.graphs.notes()
        if not ranks.leads:
            continue
        step = state.step
        save, draw = step % settings.checkpoint_every == 0 and step < settings.steps, _draws(step, settings)
        due = step % _READ_EVERY == 0 or time.monotonic() - read > _READ_AFTER or step == settings.steps
        if save or draw or due:
            read = time.monotonic()
            left = (read - began) / (step - first) * (settings.steps - step)
            yield state.said(left)
            if short := state.short_of_disk():
                continue
        yield from state.saved()
        if save:
            yield from state.save()
        if draw:
            yield from _draw(state, samples)
        if state.meter.is_due(step):
            yield from _measure(state)
    return short


def _batches(state: TrainState) -> Iterator[list[int]]:
    """Numbers of the pictures that are learnt, batch by batch without end."""
    settings, learnt = state.job.settings, state.meter.learnt
    seen = [view for n in learnt for view in state.cache.seen(n, state.job.pictures[n].repeats)]
    sizes, together = [state.cache.sizes[n] for n, _ in seen], settings.batch_size * state.ranks.count
    for batch in buckets.batches(sizes, together, settings.seed, [repeats for _, repeats in seen]):
        yield [seen[n][0] for n in batch]


def _measure(state: TrainState) -> Iterator[Event]:
    with state.average.shown():
        measured = state.meter.measure(state.step)
    if measured:
        yield measured


def _draws(step: int, settings: TrainSettings) -> bool:
    """Whether samples are drawn after a step, which is not the last."""
    return bool(settings.sample_every) and step % settings.sample_every == 0 and step < settings.steps


def _draw(state: TrainState, samples: Samples) -> Iterator[Event]:
    state.graphs.forget()  # drawing needs the memory
    with state.average.shown():
        yield from samples.draw(f"step-{state.step:06}", state.step)


def _finish(state: TrainState, samples: Samples, began: float) -> Iterator[Event]:
    """Publish what was learnt, drawn once with exactly the weights of the published file."""
    job, facts = state.job, state.family.facts
    if unchanged := optimizers.never_adapted(state.optimizer):
        yield Note(unchanged)
    yield from state.keep()
    yield Phase("Saving the LoRA")
    data = publish.encode(job, facts, state.layers(), state.step)
    state.set_weights(publish.decode(data, facts, lora.shapes(state.parts)))
    yield from samples.draw("final", state.step, again=True)
    if samples.drawn("final") and not samples.differ("base", "final"):
        raise publish.NoEffectError(
            "The LoRA changes nothing in a drawing.", "Train more steps, or with a higher learning rate."
        )
    path, digest = publish.publish(data, job)
    yield Done(str(path), digest, state.step, round(time.monotonic() - began, 1))
