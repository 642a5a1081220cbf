"""What is done after each step of a drawing: look whether it is still wanted, and show how it gets on."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image

from lora_gui import files
from lora_gui.engine.draw.pipeline import Pipeline
from lora_gui.protocol.events import Event, Preview
from lora_gui.protocol.jobs import DrawJob

_SHARE = 10  # a preview is made where the last one took at most a tenth of the time since


class CancelledError(Exception):
    """Raised between two steps of a drawing that is not wanted any more."""


class Watch:
    """The `Progress` of one order: a preview after each step, fewer where they would slow the drawing down."""

    def __init__(
        self, pipeline: Pipeline, job: DrawJob, say: Callable[[Event], None], cancelled: Callable[[], bool]
    ) -> None:
        self._pipeline, self._id, self._say, self._cancelled = pipeline, job.id, say, cancelled
        self._path = Path(job.folder) / f"{job.id}-preview.png"
        self._due = 0.0

    def __call__(self, step: int, of: int, x0: torch.Tensor | None) -> None:
        """Raises CancelledError where the order was given up."""
        if self._cancelled():
            raise CancelledError
        began = time.monotonic()
        if x0 is None or step >= of or began < self._due:
            return
        self.show(self._pipeline.preview(x0), step, of)
        ended = time.monotonic()
        self._due = ended + _SHARE * (ended - began)

    def show(self, picture: Image.Image, step: int, of: int) -> None:
        """Say how the drawing looks after a step."""
        data = io.BytesIO()
        picture.save(data, "PNG", compress_level=1)
        files.write_bytes(self._path, data.getvalue())
        self._say(Preview(self._id, str(self._path), step, of))
