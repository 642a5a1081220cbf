"""Draw with a base and a stack of LoRAs, keeping both warm between orders."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

from lora_gui import files
from lora_gui.engine import device, lora, png
from lora_gui.engine.bases import opening
from lora_gui.events import Done, Drawn, Event, Note, Phase, Preview, Stopped
from lora_gui.families import families, family
from lora_gui.families.base import Family
from lora_gui.families.reading import Reader
from lora_gui.formats import dialects
from lora_gui.formats.metadata import read_header
from lora_gui.jobs import Base, DrawJob
from lora_gui.settings import DrawSettings, StackEntry

_PREVIEWS = 8  # at most, of one drawing
_WARM = 8  # LoRAs kept in memory, those in use not counted


class _CancelledError(Exception):
    """Raised between two steps of a drawing that is not wanted any more."""


class Drawer:
    """One base and the LoRAs that were drawn with, held in memory; another base takes their place."""

    def __init__(self) -> None:
        self.device = device.pick()
        device.prepare(self.device)
        self.base: Base | None = None
        self.family: Family
        self.reader: Reader | None = None
        self.pipeline: Any = None
        self.loaded: dict[tuple[str, int], str] = {}  # file and its time to the name of its LoRA in the base
        self.hashes: dict[str, str] = {}  # name of a LoRA in the base to the hash other programs know it by

    def draw(
        self, job: DrawJob, say: Callable[[Event], None], cancelled: Callable[[], bool]
    ) -> Iterator[Event]:
        """Draw what is ordered. Previews go to `say` while a drawing is under way. Raises UserError where it cannot."""
        if cancelled():
            yield Stopped(id=job.id)
            return
        yield from self._open(job.base)
        yield from self._unread(job.settings)
        stack = yield from self._stack(job.settings.stack)
        settings, folder = job.settings, Path(job.folder)
        sampler = type(self.pipeline.scheduler).__name__.removesuffix("Scheduler")
        for number in range(settings.count):
            seed = (settings.seed + number) % 2**32
            yield Phase("Drawing", number, settings.count)
            try:
                image = self.family.draw(
                    self.pipeline, settings, seed, progress=self._watcher(job, say, cancelled)
                )
            except _CancelledError:
                yield Stopped(id=job.id)
                return
            path = folder / f"{job.id}-{number}.png"
            text = png.parameters(settings, seed, job.base.title, sampler, stack)
            files.write_bytes(path, png.encode(image, text))
            yield Drawn(job.id, str(path), seed, number + 1, settings.count)
        yield Done(id=job.id)

    def _open(self, base: Base) -> Iterator[Event]:
        """Load the base unless it is the one that is there."""
        if self.base and self.base.path == base.path:
            return
        yield Phase(f"Loading {base.title}")
        self.base, self.pipeline = None, None  # the old one leaves memory first
        self.loaded.clear()
        device.empty_cache(self.device)
        self.family = family(base.family)
        with opening(base):
            self.reader = self.family.reader(Path(base.path))
            self.pipeline = self.family.pipeline(Path(base.path), self.device, device.drawing_dtype(self.device))
        self.base = base

    def _unread(self, settings: DrawSettings) -> Iterator[Event]:
        """A note where what is asked for is longer than the base reads."""
        for kind, text in (("prompt", settings.prompt), ("negative prompt", settings.negative_prompt)):
            if self.reader and (words := self.reader.unread(text)):
                yield Note(f"The {kind} is longer than what this base reads; from '{words} …' on it is not seen.")

    def _stack(self, entries: tuple[StackEntry, ...]) -> Generator[Event, None, list[tuple[str, float, str]]]:
        """Load what is not loaded yet and set the strengths; returns name, strength and hash of what counts."""
        parts = self.family.parts(self.pipeline)
        strengths: dict[str, float] = {}
        stack = []
        for entry in entries:
            if entry.strength:
                path = Path(entry.lora)
                yield Phase(f"Loading {path.stem}")
                name = self._load(path, parts)
                strengths[name] = strengths.get(name, 0.0) + entry.strength
                stack.append((path.stem, entry.strength, self.hashes[name]))
        lora.use(parts, strengths)
        for key, name in list(self.loaded.items()):
            if name not in strengths and len(self.loaded) > _WARM:
                lora.remove(parts, name)
                del self.loaded[key]
        return stack

    def _load(self, path: Path, parts: lora.Parts) -> str:
        """The name of this LoRA in the base; it is put there unless it is. Raises UserError where it does not fit."""
        header = read_header(path)
        key = (str(path), path.stat().st_mtime_ns)
        if key not in self.loaded:
            known = [one.facts for one in families().values()]
            layers = dialects.read(path, lora.shapes(parts), self.family.facts, known)
            name = f"lora{len(self.hashes)}"
            lora.add(parts, layers, name)
            self.loaded[key] = name
            self.hashes[name] = header.metadata.get("sshs_model_hash", "")
        return self.loaded[key]

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
