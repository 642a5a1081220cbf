"""Draw what is ordered, keeping the base and the LoRAs warm between orders."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from PIL import Image

from lora_gui import files
from lora_gui.engine.draw.opened import Opened, held_by, open_base
from lora_gui.engine.draw.sampling import Progress
from lora_gui.engine.load import device
from lora_gui.formats import png
from lora_gui.protocol.events import Done, Drawn, Event, Note, Phase, Preview, Stopped
from lora_gui.protocol.jobs import DrawJob
from lora_gui.settings import SEEDS, DrawSettings

_PREVIEWS = 8  # at most, of one drawing


class _CancelledError(Exception):
    """Raised between two steps of a drawing that is not wanted any more."""


class Drawer:
    """One base and the LoRAs that were drawn with, held in memory; another base takes their place."""

    def __init__(self, on_processor: bool = False) -> None:
        self.device = torch.device("cpu") if on_processor else device.pick()
        device.prepare(self.device)
        self.opened: Opened | None = None

    def draw(
        self, job: DrawJob, say: Callable[[Event], None], cancelled: Callable[[], bool]
    ) -> Iterator[Event]:
        """Draw what is ordered. Previews go to `say` while a drawing is under way. Raises UserError where it cannot."""
        if cancelled():
            yield Stopped(id=job.id)
            return
        if self.opened is not None and self.opened.held != held_by(job):
            self.opened = None  # the old one leaves memory before the new one comes
            device.empty_cache(self.device)
        self.opened = self.opened or (yield from open_base(job, self.device))
        opened, settings = self.opened, job.settings
        yield from opened.unread(settings)
        yield from opened.read(settings)
        held_whole = not (job.precision or job.streamed_blocks)
        merged = self.device.type == "cpu" and held_whole  # a card has no room for copies of the weights
        stack = yield from opened.stack.use(settings.stack, merged, job.read_by)
        captions = opened.prompts(settings)
        for number in range(settings.count):
            seed = (settings.seed + number) % SEEDS
            yield Phase("Drawing", number, settings.count)
            try:
                if cancelled():
                    raise _CancelledError
                image = opened.pipeline.draw(settings, seed, captions, _watcher(opened, job, say, cancelled))
            except _CancelledError:
                yield Stopped(id=job.id)
                return
            path = Path(job.folder) / f"{job.id}-{number}.png"
            yield from _odd(image, settings)
            text = png.parameters(settings, seed, job.base.title, opened.pipeline.sampler, stack, image.size)
            files.write_bytes(path, png.encode(image, text))
            yield Drawn(job.id, str(path), seed, number + 1, settings.count)
        yield Done(id=job.id)


def _odd(image: Image.Image, settings: DrawSettings) -> Iterator[Event]:
    """Notes where a drawing is kept that is another than was asked for, or that looks like a fault."""
    asked = settings.width, settings.height
    if image.size != asked:
        yield Note(f"This base drew {image.width} x {image.height} where {asked[0]} x {asked[1]} was asked.")
    if image.getbbox() is None:
        yield Note("Every pixel of the drawing is black. If the prompt does not ask for that, lower the strengths.")


def _watcher(
    opened: Opened, job: DrawJob, say: Callable[[Event], None], cancelled: Callable[[], bool]
) -> Progress:
    """What is done after each step of a drawing: look whether it is still wanted, and now and then show it."""
    every = math.ceil(job.settings.steps / _PREVIEWS)

    def watch(step: int, x0: torch.Tensor | None) -> None:
        if cancelled():
            raise _CancelledError
        if x0 is not None and step % every == 0 and step < job.settings.steps:
            path = Path(job.folder) / f"{job.id}-preview.png"
            data = io.BytesIO()
            opened.pipeline.preview(x0).save(data, "PNG", compress_level=1)
            files.write_bytes(path, data.getvalue())
            say(Preview(job.id, str(path), step, job.settings.steps))

    return watch
