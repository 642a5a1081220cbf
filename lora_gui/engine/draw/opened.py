"""A base as an order asked for it to be held, with the prompts that were read for it and the LoRAs put into it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import torch

from lora_gui.engine.draw.pipeline import Pipeline, encoded
from lora_gui.engine.draw.stack import Stack
from lora_gui.engine.load import device, loading, prediction, quantize, unpack
from lora_gui.engine.load.opening import opening
from lora_gui.families import family
from lora_gui.families.base import Tensors
from lora_gui.protocol.events import Event, Note, Phase
from lora_gui.protocol.jobs import DrawJob
from lora_gui.settings import DrawSettings

_WARM = 24  # pairs of prompts kept; no order has more

Held = tuple[str, str, int, str]  # path of the base, its precision, its streamed blocks, what it predicts


def held_by(job: DrawJob) -> Held:
    """Which base an order asks for, and how it is to be held; another needs another `Opened`."""
    return (job.base.path, job.precision, job.streamed_blocks, job.settings.prediction)


class Opened:
    """Made by `open_base`."""

    pipeline: Pipeline
    stack: Stack

    def __init__(self, job: DrawJob, folder: Path, where: torch.device) -> None:
        self.held, self.base, self.folder, self.where = held_by(job), job.base, folder, where
        self.family = family(job.base.family)
        self.dtype = device.drawing_dtype(where, job.precision, device.capability(where))
        self.reader = self.family.reader(folder)
        self.reads_apart = False  # whether text encoders leave memory once the prompts are read
        self.captions: dict[tuple[Any, ...], Tensors] = {}  # of pairs of prompts, by the LoRAs that had a say in them

    def load(self, job: DrawJob) -> Iterator[Event]:
        """Load what is drawn with: whole, or as it is held in training, without the large text encoders."""
        parts: dict[str, Any] | None = None
        in_few_bits = job.precision in quantize.PRECISIONS
        if job.precision and not in_few_bits and self.dtype == torch.float32 != device.dtype_of(job.precision):
            job = job.model_copy(update={"precision": "int8"})  # as little memory
            yield Note("Your processor is slow in 16 bits, so the base is held in 8 and draws a little differently.")
        if job.precision:
            parts = self.family.text_encoders(self.folder, self.where, self.dtype)
            self.reads_apart = not parts
            yield from self.read(job.each)  # before the base needs the memory
            notes: list[str] = []
            load = loading.denoiser(job, job.cache, notes.append)
            parts |= self.family.denoisers(self.folder, self.where, self.dtype, load)
            yield from map(Note, notes)
        sparing = bool(parts) and self.where.type == "cuda"
        self.pipeline = Pipeline(
            self.family, self.folder, self.where, self.dtype, parts, job.settings.prediction, sparing, previews=True
        )  # fmt: skip
        yield from prediction.unused(self.pipeline.kit.noising, job.settings.prediction)
        self.stack = Stack(self.family.facts, self.pipeline.parts, texts=not self.reads_apart)

    def read(self, shots: tuple[DrawSettings, ...]) -> Iterator[Event]:
        """Read the prompts with text encoders that leave memory afterwards; nothing where they are small and stay."""
        unknown = [shot for shot in shots if (shot.prompt, shot.negative_prompt, shot.clip_skip) not in self.captions]
        if not (self.reads_apart and unknown):
            return
        yield Phase("Reading the prompt")
        with opening(self.base):
            encoders = self.family.encoders(self.folder, self.where, self.dtype, loading.text_encoder, pictures=False)
        for shot in unknown:
            self._captions(shot, encoders)
        del encoders
        device.empty_cache(self.where)

    def prompts(self, settings: DrawSettings) -> Tensors:
        """The prompts as the text encoders have them with the stack as it is now; after `read`."""
        if self.reads_apart:
            return self._captions(settings, None)
        return self._captions(settings, self.pipeline.kit.encoders, *self.stack.active)

    def _captions(self, settings: DrawSettings, encoders: Any, *active: tuple[str, float]) -> Tensors:
        prompts = (settings.prompt, settings.negative_prompt)
        key = (*prompts, settings.clip_skip, *active)
        if key not in self.captions:
            found = encoded(self.family, encoders, prompts, settings.clip_skip)
            if len(self.captions) >= _WARM:
                self.captions.pop(next(iter(self.captions)))
            self.captions[key] = {name: value.cpu() for name, value in found.items()}
        return {name: value.to(self.where) for name, value in self.captions[key].items()}

    def unread(self, shots: tuple[DrawSettings, ...]) -> Iterator[Event]:
        """A note where what is asked for is longer than the base reads, or says what it does not know."""
        if any(shot.negative_prompt and not self.family.is_guided(self.pipeline.kit, shot) for shot in shots):
            yield Note("The negative prompt does nothing at this guidance, or with a base that draws without any.")
        if self.family.facts.weighs_words:
            return
        prompts = (("prompt", shot.prompt) for shot in shots)
        negatives = (("negative prompt", shot.negative_prompt) for shot in shots)
        for kind, text in dict.fromkeys((*prompts, *negatives)):
            if words := self.reader.unread(text):
                yield Note(f"The {kind} is longer than what this base reads; from '{words} …' on it is not seen.")


def open_base(job: DrawJob, where: torch.device) -> Generator[Event, None, Opened]:
    """Load the base of an order. Raises UserError where it cannot be opened."""
    yield Phase(f"Loading {job.base.title}")
    folder = Path((yield from unpack.as_folder(job.base, job.cache)).path)
    with opening(job.base):
        opened = Opened(job, folder, where)
        opened.family.require_fitting(folder)
        yield from opened.load(job)
    return opened
