"""What changes while a run goes on: the LoRA, its optimizer and the step; and one optimizer step."""

from __future__ import annotations

import math
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from lora_gui.engine.load import lora, prediction
from lora_gui.engine.train import adapter, beginning, cache, checkpoint, graphs, losses, meter, optimizers, publish
from lora_gui.engine.train.average import Average
from lora_gui.engine.train.dropout import Dropout
from lora_gui.engine.train.norm_limit import NormLimit
from lora_gui.engine.train.preservation import Held, Preservation
from lora_gui.engine.train.ranks import ALONE, Ranks
from lora_gui.errors import UserError
from lora_gui.families.base import Batch, Family
from lora_gui.few_pictures import HELD_EVERY
from lora_gui.formats import dialects
from lora_gui.formats import metadata as headers
from lora_gui.formats.lora_file import Layers
from lora_gui.protocol.events import Event, Note, Paused, Saved, Step
from lora_gui.protocol.jobs import TrainJob

NAME = "trained"  # adapter name within the base
_EXPLODED = 10.0  # times the first mean loss, or times 1 where that is less: what predicting nothing costs
_ROOM = 100_000_000  # bytes that stay free on the disk beside the checkpoints to come


class TrainState:
    """The LoRA, its optimizer and the step: what changes while a run goes on, and what a checkpoint keeps."""

    def __init__(
        self, job: TrainJob, family: Family, parts: lora.Parts, encoded: cache.Cache, where: torch.device,
        dtype: torch.dtype, folder: Path, ranks: Ranks = ALONE,
    ) -> None:  # fmt: skip
        self.job, self.family, self.parts, self.cache, self.folder = job, family, parts, encoded, folder
        self.ranks = ranks
        beginning.add(job, folder, family, parts, NAME)
        held = {weight.dtype for root in parts.values() for weight in root.parameters()}
        self.masters = adapter.fuse(parts, NAME, dtype, family, adapter.Layout.of(job.settings))
        self.average = Average(self.masters, job.settings.ema_decay)
        self.dropout = Dropout(self.masters, job.settings, where)
        self.norms = NormLimit(self.masters, job.settings.max_norm)
        self.graphs = graphs.of(job.settings, where)
        self.weights = [one.flat for one in self.masters]
        self.optimizer = optimizers.make(self.masters, job.settings)
        self.scaler = torch.amp.GradScaler(where.type, enabled=torch.float16 in held)
        self.noising = prediction.applied(family.noising(Path(job.base.path), where), job.settings.prediction)
        self.generator = ranks.generator(where)
        self.saving = checkpoint.Saving(folder / "checkpoints")
        self.meter = meter.Meter(encoded, job, self._measured)
        self.preservation = Preservation(job, encoded, family, parts, self.noising, NAME)
        self.step = 0
        self.losses: list[torch.Tensor] = []  # on the device, since they were last read
        self.first_loss = 0.0  # the first mean that was read

    def drawn(self, batch: Batch, generator: torch.Generator) -> dict[str, losses.Drawn]:
        """What each part learns from: the batch, noised at random."""
        return losses.drawn(self.family, self.parts, batch, self.noising, self.job.settings, generator)

    def _measured(self, batch: Batch, generator: torch.Generator) -> torch.Tensor:
        """The losses of a batch over all noise levels alike, whichever are learnt more often; nothing is left out."""
        even = self.job.settings.evenly.model_copy(update={"caption_dropout": 0.0})
        return self.loss(losses.drawn(self.family, self.parts, batch, self.noising, even, generator))

    def loss(self, given: dict[str, losses.Drawn]) -> torch.Tensor:
        """Loss of each picture of a batch, (B,) fp32."""
        return losses.computed(self.family, self.parts, given, self.noising, self.job.settings)

    def one_step(self, batches: Iterator[list[int]]) -> None:
        """One optimizer step. Its noise and its pictures follow from the seed and the number of the step alone.

        What is random and what the host decides comes first, so that the rest can be recorded.
        """
        settings = self.job.settings
        self.generator.manual_seed(settings.seed * 1_000_003 + self.step)
        rng = random.Random(f"{settings.seed} {self.step}")
        share = optimizers.rate(self.step, settings, self.job.extended_at)
        optimizers.set_rates(self.optimizer, settings, share)
        self.dropout.begin(self.step)
        found = []
        for at in range(settings.accumulation):
            numbers = next(batches)
            batch = self.cache.batch(numbers, settings.caption_dropout, rng, self.ranks.rows(len(numbers)))
            found.append(self.graphs.play(self._learn, self.drawn(batch, self.generator)))
            self._preserve(batch, numbers, rng, self.step * settings.accumulation + at)
        self.losses += self._averaged(found)
        waits = self.scaler.is_enabled()  # for the device, and so cannot be recorded
        if self.graphs.on and not waits and optimizers.capturable(self.optimizer):
            self.graphs.play(self._improve)
        else:
            self._improve()
        self.step += 1
        self.average.follow(self.step)

    def _preserve(self, batch: Batch, numbers: list[int], rng: random.Random, at: int) -> None:
        """Learn what holds the base, where that is asked for, beside the batch `at` of the run."""
        settings = self.job.settings
        if settings.class_pictures:
            beside = self.preservation.class_batch(numbers, rng, self.ranks.rows(len(numbers)))
            self.graphs.play(self._learn, self.drawn(beside, self.generator), settings.class_weight)
        if settings.preservation and at % HELD_EVERY == 0:
            self.graphs.play(self._hold, self.preservation.held(batch, self.generator, at // HELD_EVERY))

    def _learn(self, given: dict[str, losses.Drawn], weight: float = 1.0) -> torch.Tensor:
        """Add the gradients of one batch; its mean loss, ()."""
        return self._gathered(self.loss(given).mean(), weight)

    def _hold(self, held: dict[str, Held]) -> torch.Tensor:
        """Add the gradients that hold the base; how far it is from itself, ()."""
        return self._gathered(self.preservation.distance(held), HELD_EVERY * self.job.settings.preservation)

    def _gathered(self, loss: torch.Tensor, weight: float) -> torch.Tensor:
        self.scaler.scale(loss * (weight / self.job.settings.accumulation)).backward()
        for one in self.masters:
            one.gather()
        return loss.detach()

    def _improve(self) -> None:
        """Change the weights by their gradients, and forget these."""
        self.dropout.end()
        self.scaler.unscale_(self.optimizer)
        if limit := self.job.settings.max_grad_norm:
            torch.nn.utils.clip_grad_norm_(self.weights, limit)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.norms.apply()
        for one in self.masters:
            one.zero(release=not self.graphs.on)
            one.refresh()

    def _averaged(self, losses: list[torch.Tensor]) -> list[torch.Tensor]:
        """Average what was learnt in a step with that of the other processes; the losses, then those of all."""
        if self.ranks.count == 1:
            return losses
        self.masters[0].exchanged[-1].copy_(torch.stack(losses).mean())
        for one in self.masters:
            self.ranks.average(one.exchanged)
        return [self.masters[0].exchanged[-1].clone()]

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
            self.saving.ended(wait=True)  # or what is half written would be taken for what a dead run left
            last, _ = checkpoint.newest(self.folder / "checkpoints")
            kept = f"The state of step {last.step} is kept" if last else "Nothing could be kept"
            broke = f"its loss rose to {mean:.3g}" if finite else "its numbers became infinite"
            raise UserError(
                f"The training broke before step {self.step}: {broke}. {kept}.",
                f"Train again with a lower learning rate, such as {self.job.settings.learning_rate / 3:.1g}.",
                cause="diverged",
            )
        return mean

    def keep(self) -> Iterator[Event]:
        """Say where it stands and keep it, unless its numbers broke since they were last looked at."""
        if self.losses:
            yield self.said()
        if self.step:
            yield from map(Note, filter(None, [self.norms.said()]))
            yield from self.save()
            yield from self.saved(wait=True)

    def short_of_disk(self) -> Paused | None:
        """The pause that is due where the disk has hardly room for the next checkpoints."""
        copies = 3 + self.average.on  # with two averages of the optimizer
        state = copies * sum(weight.numel() * weight.element_size() for weight in self.weights)
        free = shutil.disk_usage(self.folder).free
        if free > _ROOM + 3 * state:
            return None
        what = f"Only {free / 1e9:.1f} GB are free on your studio's disk, so the run paused by itself."
        return Paused(self.step, what, "Make some space, then resume; nothing is lost.")

    def save(self) -> Iterator[Event]:
        """Copy everything the next start needs, and have it written while the steps go on; `saved` says when it is."""
        yield from self.saved(wait=True)
        metadata = headers.lora_metadata(self.job, self.family.facts, self.step)
        last = lora.get_weights(self.parts, NAME) if self.average.on else None
        further = {"scaler": self.scaler.state_dict(), "processes": self.ranks.count, "measured": self.meter.kept()}
        self.saving.begin(checkpoint.copied(self.step, self.layers(), metadata, self.optimizer, further, last))

    def saved(self, wait: bool = False) -> Iterator[Event]:
        """Say of a checkpoint that has just been kept whole. Raises UserError where it could not be."""
        if kept := self.saving.ended(wait):
            yield Saved(kept.step, str(kept.folder))

    def layers(self) -> Layers:
        """What was learnt, as it is drawn and published; a copy in host memory."""
        with self.average.shown():
            return lora.get_weights(self.parts, NAME)

    def set_weights(self, layers: Layers) -> None:
        """Go on with these weights."""
        lora.set_weights(self.parts, layers, NAME)
        for one in self.masters:
            one.refresh()

    def restore(self, found: checkpoint.Checkpoint) -> Iterator[Note]:
        """Go on from a checkpoint as if nothing had happened; a sentence where that is not quite so."""
        facts, shapes = self.family.facts, lora.shapes(self.parts)
        for path in dict.fromkeys((found.lora, found.learning)):
            self.set_weights(dialects.read(path, shapes, facts, [facts], learns=True))
            if path == found.lora:
                self.average.begin()
        further = checkpoint.restore(found, self.optimizer, self._joined)
        if scale := further["scaler"]:  # none of a card with bf16
            self.scaler.load_state_dict(scale)
        self.step = found.step
        self.meter.restore(further.get("measured", {}))
        if note := self.ranks.changed(further.get("processes", 1), self.job.settings):
            yield Note(note)
        if self.step and not self.optimizer.state:
            why = "by an earlier version, or on another kind of card"
            yield Note(f"This run was begun {why}, so the averages of its optimizer begin anew.")

    def _joined(self, states: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The optimizer's states for each weight, as earlier versions kept them, made those of the flat buffers."""
        joined = []
        for one in self.masters:
            own, states = states[: len(one.pieces)], states[len(one.pieces) :]
            joined.append(one.joined(own))
        return [one for one in joined if one is not None] if None not in joined else []
