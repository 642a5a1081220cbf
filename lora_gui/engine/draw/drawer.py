"""Draw with a base and a stack of LoRAs, keeping both warm between orders."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import torch

from lora_gui import families, files
from lora_gui.engine.load import device, loading, lora, unpack
from lora_gui.engine.load.opening import opening
from lora_gui.engine.train.cache import Tensors
from lora_gui.families import family
from lora_gui.families.base import Family
from lora_gui.families.shared import drawing
from lora_gui.families.shared.token_limit import Reader
from lora_gui.formats import dialects, png
from lora_gui.formats.header import read_header
from lora_gui.protocol.events import Done, Drawn, Event, Note, Phase, Preview, Stopped
from lora_gui.protocol.jobs import DrawJob
from lora_gui.settings import DrawSettings

_PREVIEWS = 8  # at most, of one drawing
_WARM = 8  # LoRAs kept in memory, those in use not counted


class _CancelledError(Exception):
    """Raised between two steps of a drawing that is not wanted any more."""


class Drawer:
    """One base and the LoRAs that were drawn with, held in memory; another base takes their place."""

    def __init__(self, on_processor: bool = False) -> None:
        self.device = torch.device("cpu") if on_processor else device.pick()
        device.prepare(self.device)
        self.opened: tuple[str, str, int] | None = None  # path, precision and streamed blocks of the base
        self.folder: Path  # of the base
        self.family: Family
        self.reader: Reader | None = None
        self.pipeline: Any = None
        self.reads_apart = False  # whether text encoders leave memory once the prompts are read
        self.captions: dict[tuple[str, str], Tensors] = {}  # of prompts that were read so
        self.originals: lora.Originals = []  # the base's own weights where LoRAs are merged into them
        self.loaded: dict[tuple[str, int], str] = {}  # file and its time to the name of its LoRA in the base
        self.hashes: dict[str, str] = {}  # name of a LoRA in the base to the hash other programs know it by

    def draw(
        self, job: DrawJob, say: Callable[[Event], None], cancelled: Callable[[], bool]
    ) -> Iterator[Event]:
        """Draw what is ordered. Previews go to `say` while a drawing is under way. Raises UserError where it cannot."""
        if cancelled():
            yield Stopped(id=job.id)
            return
        yield from self._open(job)
        yield from self._unread(job.settings)
        captions = yield from self._encoded(job)
        stack = yield from self._stack(job)
        settings, folder = job.settings, Path(job.folder)
        sampler = type(self.pipeline.scheduler).__name__.removesuffix("Scheduler")
        for number in range(settings.count):
            seed = (settings.seed + number) % 2**32
            yield Phase("Drawing", number, settings.count)
            try:
                image = self.family.draw(
                    self.pipeline, settings, seed, captions, self._watcher(job, say, cancelled)
                )
            except _CancelledError:
                yield Stopped(id=job.id)
                return
            path = folder / f"{job.id}-{number}.png"
            text = png.parameters(settings, seed, job.base.title, sampler, stack)
            files.write_bytes(path, png.encode(image, text))
            yield Drawn(job.id, str(path), seed, number + 1, settings.count)
        yield Done(id=job.id)

    def _open(self, job: DrawJob) -> Iterator[Event]:
        """Load the base unless it is the one that is there, held in the same way."""
        asked = (job.base.path, job.precision, job.streamed_blocks)
        if self.opened == asked:
            return
        yield Phase(f"Loading {job.base.title}")
        self.opened, self.pipeline = None, None  # the old one leaves memory first
        self.loaded.clear()
        self.originals.clear()
        self.captions.clear()
        device.empty_cache(self.device)
        self.family = family(job.base.family)
        self.folder = Path((yield from unpack.as_folder(job.base, job.cache)).path)
        with opening(job.base):
            self.reader = self.family.reader(self.folder)
            if job.precision:
                self.pipeline = yield from self._in_parts(job)
            else:
                self.reads_apart = False
                self.pipeline = self.family.pipeline(self.folder, self.device, device.drawing_dtype(self.device))
        self.opened = asked

    def _in_parts(self, job: DrawJob) -> Generator[Event, None, Any]:
        """A pipeline of the base as it is held in training: large text encoders are not in it."""
        dtype, kept = device.dtype_of(job.precision), Path(job.cache) / "quantised" if job.cache else None
        parts: dict[str, Any] = self.family.text_encoders(self.folder, self.device, dtype)
        self.reads_apart = not parts
        yield from self._encoded(job)  # before the base needs the memory
        parts |= self.family.denoisers(self.folder, self.device, dtype, loading.denoiser(job, kept))
        return self.family.pipeline(self.folder, self.device, dtype, parts)

    def _encoded(self, job: DrawJob) -> Generator[Event, None, Tensors | None]:
        """What is asked for as the text encoders have it; None where they are small and stay in the pipeline."""
        if not self.reads_apart:
            return None
        prompts = (job.settings.prompt, job.settings.negative_prompt)
        if prompts not in self.captions:
            yield Phase("Reading the prompt")
            dtype = device.dtype_of(job.precision)
            with opening(job.base):
                encoders = self.family.encoders(self.folder, self.device, dtype, loading.text_encoder, pictures=False)
            said = drawing.encoded(self.family, encoders, job.settings)
            del encoders
            device.empty_cache(self.device)
            if len(self.captions) >= _WARM:
                self.captions.pop(next(iter(self.captions)))
            self.captions[prompts] = {key: value.cpu() for key, value in said.items()}
        return {key: value.to(self.device) for key, value in self.captions[prompts].items()}

    def _unread(self, settings: DrawSettings) -> Iterator[Event]:
        """A note where what is asked for is longer than the base reads."""
        for kind, text in (("prompt", settings.prompt), ("negative prompt", settings.negative_prompt)):
            if self.reader and (words := self.reader.unread(text)):
                yield Note(f"The {kind} is longer than what this base reads; from '{words} …' on it is not seen.")

    def _stack(self, job: DrawJob) -> Generator[Event, None, list[tuple[str, float, str]]]:
        """Load what is not loaded yet and set the strengths; returns name, strength and hash of what counts."""
        parts = {name: part for name, part in self.family.parts(self.pipeline).items() if part is not None}
        strengths: dict[str, float] = {}
        stack = []
        for entry in job.settings.stack:
            if entry.strength:
                path = Path(entry.lora)
                yield Phase(f"Loading {path.stem}")
                name, left_out = self._load(path, parts)
                if left_out:
                    yield Note(f"What {path.stem} changes in the text encoder is left out: that has left memory.")
                strengths[name] = strengths.get(name, 0.0) + entry.strength
                stack.append((path.stem, entry.strength, self.hashes[name]))
        lora.unmerge(self.originals)
        lora.activate(parts, strengths)
        for key, name in list(self.loaded.items()):
            if name not in strengths and len(self.loaded) > _WARM:
                lora.remove(parts, name)
                del self.loaded[key]
        if self.device.type == "cpu" and not (job.precision or job.streamed_blocks):  # a card has no room for copies
            self.originals = lora.merge(parts)
        return stack

    def _load(self, path: Path, parts: lora.Parts) -> tuple[str, bool]:
        """The name of this LoRA in the base, and whether a part of it is left out; it is put there unless it is.

        Raises UserError where it does not fit.
        """
        header = read_header(path)
        texts = len(parts) == len(self.family.parts(self.pipeline))  # whether all that it can change is in memory
        key = (str(path), path.stat().st_mtime_ns)
        if key not in self.loaded:
            known = families.facts().values()
            layers = dialects.read(path, lora.shapes(parts), self.family.facts, known, texts)
            name = f"lora{len(self.hashes)}"
            lora.add(parts, layers, name)
            self.loaded[key] = name
            self.hashes[name] = header.metadata.get("sshs_model_hash", "")
        return self.loaded[key], not texts and any(map(dialects.is_text_layer, header.tensors))

    def _watcher(
        self, job: DrawJob, say: Callable[[Event], None], cancelled: Callable[[], bool]
    ) -> Callable[[int, Any], None]:
        """What is done after each step of a drawing: look whether it is still wanted, and now and then show it."""
        every = math.ceil(job.settings.steps / _PREVIEWS)

        def watch(step: int, latents: Any) -> None:
            if cancelled():
                raise _CancelledError
            if step % every == 0 and step < job.settings.steps:
                path = Path(job.folder) / f"{job.id}-preview.png"
                data = io.BytesIO()
                self.family.preview(self.pipeline, latents).save(data, "PNG", compress_level=1)
                files.write_bytes(path, data.getvalue())
                say(Preview(job.id, str(path), step, job.settings.steps))

        return watch
