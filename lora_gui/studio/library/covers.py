"""The cover of a LoRA: the picture beside its file or within it, a sample of its run, or the newest drawing with it.

The first two come from strangers: they are decoded in the sandbox, once, and kept in the cache.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from pathlib import Path

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.formats import edit
from lora_gui.formats.header import state
from lora_gui.formats.metadata import THUMBNAIL
from lora_gui.protocol.task_folder import TaskFolder
from lora_gui.studio.library.beside import picture
from lora_gui.studio.library.shelf import Card
from lora_gui.studio.paths import Studio
from lora_gui.studio.sandbox.picture_sandbox import Decoder

LARGEST = 30_000_000  # bytes of a picture beside a file that is looked at
SAMPLE = "final-0.png"  # of a run


def cover(studio: Studio, card: Card) -> Path | None:
    """A picture that the window may show; None where there is none, or where it is not decoded yet."""
    if (kept := _kept(studio, card)) and kept.is_file() and kept.stat().st_size:
        return kept
    sample = TaskFolder(studio.runs / Path(card.run).name).samples / SAMPLE if card.run else None
    if sample and not card.notes.step and sample.is_file():
        return sample
    return studio.drawings / card.used if card.used else None


def decode(studio: Studio, cards: Iterable[Card]) -> bool:
    """Decode the covers that strangers brought with these, those that were not yet; whether there were any.

    One that cannot be decoded is none: the card has another, or none.
    """
    new = [(card, kept) for card in cards if (kept := _kept(studio, card)) and not kept.exists()]
    if new:
        with Decoder() as decoder:
            for card, kept in new:
                files.write_bytes(kept, _decoded(studio, card, decoder))
    return bool(new)


def _kept(studio: Studio, card: Card) -> Path | None:
    """Where the decoded cover lies, or will; None where the LoRA brings none. An empty file is one that is damaged."""
    source = picture(card.path) or (card.path if card.info and card.info.pictured else None)
    try:
        mark = f"{source} {state(source)}" if source else ""
    except (OSError, ValueError):
        return None
    return studio.cache / "covers" / f"{hashlib.sha256(mark.encode()).hexdigest()[:24]}.png" if mark else None


def _decoded(studio: Studio, card: Card, decoder: Decoder) -> bytes:
    source = picture(card.path)
    try:
        if source:
            return decoder.decode(source)[0] if source.stat().st_size <= LARGEST else b""
        brought = studio.cache / "covers" / "brought"
        _, _, data = edit.metadata(card.path).get(THUMBNAIL, "").partition(";base64,")
        files.write_bytes(brought, base64.b64decode(data, validate=True))
        return decoder.decode(brought)[0]
    except (UserError, OSError, binascii.Error, ValueError):
        return b""
