"""The sample drawings of a run: the same prompts and seeds each time, bounded in cost, no part of the training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from PIL import Image, ImageChops

from lora_gui import files
from lora_gui.engine.draw.pipeline import NotFiniteError, Pipeline
from lora_gui.engine.load.lora import Parts
from lora_gui.engine.train.cache import Tensors
from lora_gui.families.base import Family
from lora_gui.formats import png
from lora_gui.formats.generation import Made
from lora_gui.protocol.events import Event, Note, Phase, Sample
from lora_gui.protocol.jobs import TrainJob
from lora_gui.protocol.learnt import filled_in, with_trigger
from lora_gui.protocol.task_folder import TaskFolder
from lora_gui.settings import DrawSettings, check

_CHOSEN = 4  # prompts, where none are given
_SHARE = 0.03  # of the passes through the base that training makes may go into samples
_FEWEST, _MOST = 8, 12  # steps of a sample, which shows how the LoRA grows; a base that needs less takes less


def planned(job: TrainJob, family: Family) -> tuple[list[str], DrawSettings]:
    """The prompts that a run can afford to draw, at least one, and how each of them is drawn.

    The same for all sets of a run, one at each end included, and after it was extended: they are to be compared.
    """
    settings, prompts, draw = job.settings, prompts_of(job), as_the_base_is_drawn(job, family)
    steps = (*job.extended_at, settings.steps)[0]
    learnt = 3 * steps * settings.batch_size * settings.accumulation  # forward and twice backward
    sets = 2 + ((steps - 1) // settings.sample_every if settings.sample_every else 0)
    passes = int(_SHARE * learnt / sets * (settings.resolution / draw.width) ** 2) // 2  # each with and without prompt
    most = min(draw.steps, _MOST, max(_FEWEST, passes))
    return prompts[: max(1, passes // most)], draw.model_copy(update={"steps": most})


def left_out(job: TrainJob, drawn: list[str]) -> Iterator[Note]:
    """A note where prompts that were asked for are not drawn."""
    if job.settings.sample_prompts and len(drawn) < len(job.settings.sample_prompts):
        asked = len(job.settings.sample_prompts)
        yield Note(f"Samples show {len(drawn)} of the {asked} prompts, so that they take little of the run's time.")


def as_the_base_is_drawn(job: TrainJob, family: Family) -> DrawSettings:
    """By default, at most as large as it is trained or as wished. Raises SettingError where that is too small."""
    defaults = DrawSettings(**family.facts.draw_defaults_of(job.base.known))
    side = job.settings.side_of_samples(defaults.width)
    return check(DrawSettings, defaults.model_dump() | {"width": side, "height": side})


def prompts_of(job: TrainJob) -> list[str]:
    """What samples may show: the prompts given, else captions from all over the set."""
    if job.settings.sample_prompts:
        return [filled_in(job.trigger, prompt) for prompt in job.settings.sample_prompts]
    captions = list(dict.fromkeys(with_trigger(job.trigger, picture.caption) for picture in job.pictures))
    spread = [captions[n * len(captions) // _CHOSEN] for n in range(_CHOSEN)]
    return list(dict.fromkeys(spread)) if len(captions) > 1 else captions * 2


class _UnwantedError(Exception):
    """The run is asked to end while a sample is drawn."""


class Samples:
    """Draws with the parts that are being trained; needs no text encoder, the prompts are cached."""

    def __init__(
        self, job: TrainJob, family: Family, parts: Parts, cached: list[Tensors], task: TaskFolder,
        device: torch.device, dtype: torch.dtype,
    ) -> None:  # fmt: skip
        self.job, self.family, self.parts, self.cached, self.task = job, family, parts, cached, task
        self.device, self.dtype = device, dtype
        self.prompts, self.settings = planned(job, family)
        self.pipeline: Pipeline | None = None

    def path(self, label: str, number: int) -> Path:
        return self.task.samples / f"{label}-{number}.png"

    def draw(self, label: str, step: int, again: bool = False) -> Iterator[Event]:
        """Draw the prompts, each with its own seed; what is there already is drawn only if `again`.

        Given up between two denoising steps where the run is asked to end.
        """
        due = [n for n in range(len(self.prompts)) if again or not self.path(label, n).exists()]
        for n in due:
            yield Phase("Drawing samples", n, len(self.prompts))
            path, seed = self.path(label, n), self.job.settings.seed + n
            try:
                files.write_bytes(path, self._drawing(n, seed, step))
            except _UnwantedError:
                return
            except NotFiniteError:
                yield Note("A sample came out as values that are not numbers, so it was not kept.")
                return
            yield Sample(step, str(path), self.prompts[n], seed)

    def drawn(self, label: str) -> bool:
        """Whether any drawing of a set is there."""
        return any(self.path(label, n).exists() for n in range(len(self.prompts)))

    def differ(self, label: str, other: str) -> bool:
        """Whether any drawing changed between two sets."""
        for n in range(len(self.prompts)):
            if self.path(label, n).exists() and self.path(other, n).exists():
                with Image.open(self.path(label, n)) as one, Image.open(self.path(other, n)) as two:
                    if ImageChops.difference(one.convert("RGB"), two.convert("RGB")).getbbox():
                        return True
        return False

    def _drawing(self, number: int, seed: int, step: int) -> bytes:
        settings = self.settings.model_copy(update={"prompt": self.prompts[number]})
        if self.pipeline is None:
            base = Path(self.job.base.path)
            predicts = self.job.settings.prediction
            sparing = self.device.type == "cuda"  # elsewhere RAM is all there is
            self.pipeline = Pipeline(self.family, base, self.device, self.dtype, self.parts, predicts, sparing)
        captions = None if self._text_encoder_trains() else self._captions(number)
        image = self.pipeline.draw(settings, seed, captions, self._go_on)
        made = Made(
            settings=settings.model_copy(update={"seed": seed}),
            base=self.job.base.title,
            sampler=self.pipeline.sampler(settings),
            loras=[(self.job.name, 1.0, "")] if step else [],
            size=image.size,
            base_key=self.job.base.key,
        )
        return png.of(image, made)

    def _go_on(self, *_: object) -> None:
        if self.task.asked():
            raise _UnwantedError

    def _captions(self, number: int) -> Tensors:
        return {key: value.to(self.device) for key, value in self.cached[number].items()}

    def _text_encoder_trains(self) -> bool:
        return any(part.startswith("text_encoder") for part in self.parts)
