"""Describe pictures with a captioner that is read from a folder; what comes of each is said as soon as it is known."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from safetensors import SafetensorError

from lora_gui.engine.caption.room import Room, room
from lora_gui.engine.load import device
from lora_gui.engine.load.opening import require_text
from lora_gui.errors import UserError
from lora_gui.formats import captioners
from lora_gui.protocol import events
from lora_gui.protocol.failures import in_plain_words
from lora_gui.protocol.jobs import CaptionJob

TOGETHER = 4  # pictures at once on a card
Describer = Callable[[Sequence[Image.Image]], list[str]]


@dataclass(frozen=True)
class Opening:
    """What a captioner is opened with."""

    folder: Path
    room: Room
    question: str
    general: float
    character: float


# The module and the function in it that opens a captioner of each kind; each is imported only where it is used.
_READERS = {
    "blip": ("generating", "blip"),
    "blip2": ("generating", "blip2"),
    "florence": ("generating", "florence"),
    "qwen": ("generating", "qwen"),
    "tagger": ("tagger", "tagger"),
    "interrogator": ("interrogator", "interrogator"),
}
_TOO_LITTLE = "Close other programs, let the processor do it, or choose a smaller captioner."


def describe(job: CaptionJob) -> Iterator[events.Event]:
    """`Described` for each picture that says something, in flat memory. Raises UserError where none can be looked at.

    A picture that is not there any more is left out, with a sentence.
    """
    found = captioners.told(Path(job.model), job.title)
    require_text(found.path, found.title)
    yield events.Phase(f"Opening {found.title}")
    where = room(found, job.on_processor)
    if where.note:
        yield events.Note(where.note)
    device.prepare(where.device)
    with torch.inference_mode():
        describer = _opened(found, job, where)
        yield from _each(describer, job, found.title, TOGETHER if where.device.type == "cuda" else 1)
    yield events.Done()


def _opened(found: captioners.Captioner, job: CaptionJob, where: Room) -> Describer:
    """Raises UserError where a part of the captioner is missing, damaged or too large."""
    module, name = _READERS[found.kind]
    read: Callable[[Opening], Describer] = getattr(importlib.import_module(f"lora_gui.engine.caption.{module}"), name)
    try:
        return read(Opening(found.path, where, job.question, job.general, job.character))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        if in_plain_words(error)[2] == "memory":
            raise UserError(f"There is not enough memory for {found.title}.", _TOO_LITTLE, "memory") from error
        what = f"{found.title} cannot be opened: a part of it is missing or damaged."
        raise UserError(what, "Download it again, or choose another captioner.") from error


def _each(describer: Describer, job: CaptionJob, title: str, together: int) -> Iterator[events.Event]:
    """Pictures as they come, several at once where there is room for them."""
    count, gone, at = len(job.pictures), 0, 0
    while at < count:
        yield events.Phase("Describing pictures", at, count)
        opened = [(number, _opened_picture(job.pictures[number])) for number in range(at, min(at + together, count))]
        there = [(number, one) for number, one in opened if one is not None]
        gone += len(opened) - len(there)
        try:
            texts = describer([one for _, one in there]) if there else []
        except (MemoryError, RuntimeError) as error:
            if in_plain_words(error)[2] != "memory":
                raise
            if together == 1:
                raise UserError(f"There is not enough memory for {title}.", _TOO_LITTLE, "memory") from error
            together = 1
            device.empty_cache(device.pick())
            continue
        for (number, _), text in zip(there, texts, strict=True):
            yield events.Described(number, " ".join(text.split()))
        at += len(opened)
    yield events.Phase("Describing pictures", count, count)
    if gone == count:
        raise UserError("These pictures are not there any more.", "Choose them again.")
    if gone:
        yield events.Note(f"{gone} of {count} pictures could not be read any more and were left out.")


def _opened_picture(path: str) -> Image.Image | None:
    """A picture of our own making, no larger than a captioner looks at; None where it is gone."""
    try:
        with Image.open(path) as file:
            image = file.convert("RGB")
    except (OSError, ValueError, SyntaxError):
        return None
    image.thumbnail((captioners.SIDE, captioners.SIDE), Image.Resampling.LANCZOS)
    return image
