"""Draw what is ordered, keeping the base and the LoRAs warm between orders."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import torch
from PIL import Image

from lora_gui import files
from lora_gui.engine.draw import hashes, upscale
from lora_gui.engine.draw.opened import Opened, held_by, open_base
from lora_gui.engine.draw.picture import beginning
from lora_gui.engine.draw.sampling import Progress
from lora_gui.engine.draw.watching import CancelledError, Watch
from lora_gui.engine.load import device
from lora_gui.engine.memory import room
from lora_gui.formats import png
from lora_gui.formats.generation import Made
from lora_gui.protocol.events import Done, Drawn, Event, Note, Phase, Stopped
from lora_gui.protocol.jobs import DrawJob
from lora_gui.settings import DrawSettings


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
        opened, shots = self.opened, job.each
        yield from opened.unread(shots)
        yield from opened.read(shots)
        stays = not (job.streamed_blocks or job.settings.turns)
        merged = self.device.type == "cpu" and job.precision in ("", "fp32") and stays  # else no copies have room
        stack = yield from opened.stack.use(job.settings.stack, merged, job.read_by)
        room.require(job, opened.folder, opened.family, self.device, opened.dtype)
        digest = yield from hashes.of_base(job.base, job.cache)
        watch, own = Watch(opened.pipeline, job, say, cancelled), room.own_size(job, opened.family)
        for number, shot in enumerate(shots):
            yield Phase("Drawing", number, len(shots))
            try:
                if cancelled():
                    raise CancelledError
                image = yield from self._drawn(opened, shot, watch, own)
            except CancelledError:
                yield Stopped(id=job.id)
                return
            path = Path(job.folder) / f"{job.id}-{number}.png"
            sampler = opened.pipeline.sampler(shot)
            made = Made(shot, job.base.title, sampler, stack, image.size, job.base.key, digest)
            files.write_bytes(path, png.of(image, made))
            yield Drawn(job.id, str(path), shot.seed, number + 1, len(shots))
        yield Done(id=job.id)

    def _drawn(
        self, opened: Opened, shot: DrawSettings, seen: Watch, own: tuple[int, int]
    ) -> Generator[Event, None, Image.Image]:
        """One drawing, enlarged where that is asked for; `own` is the base's width and height in px."""
        begin, captions = beginning(shot), opened.prompts(shot)
        watch: Progress = opened.stack.taking_turns(seen) if shot.turns else seen
        if begin and not begin.strength:
            image = begin.picture
        else:
            image = opened.pipeline.draw(shot, shot.seed, captions, watch, begin)
            yield from _odd(image, shot)
        if shot.upscale > 1:
            seen.show(image, shot.steps, shot.steps)
            image = yield from upscale.enlarged(opened.pipeline, image, shot, captions, watch, own)
        return image


def _odd(image: Image.Image, settings: DrawSettings) -> Iterator[Event]:
    """Notes where a drawing is kept that is another than was asked for, or that looks like a fault."""
    asked = settings.width, settings.height
    if image.size != asked:
        yield Note(f"This base drew {image.width} x {image.height} where {asked[0]} x {asked[1]} was asked.")
    if image.getbbox() is None:
        yield Note("Every pixel of the drawing is black. If the prompt does not ask for that, lower the strengths.")
