"""LoRAs that are brought from the hub or from Civitai, and taken into the studio once they have come."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.formats import edit
from lora_gui.formats.metadata import edited, strength_of, trigger_of
from lora_gui.protocol import links
from lora_gui.protocol.jobs import BringJob
from lora_gui.protocol.task_folder import BROUGHT
from lora_gui.studio.library import notes
from lora_gui.studio.library.beside import PICTURES
from lora_gui.studio.paths import Studio
from lora_gui.studio.sandbox.picture_sandbox import Decoder
from lora_gui.studio.tasks.fetching import Fetching, alone
from lora_gui.studio.things import loras
from lora_gui.studio.things.loras import LoraInfo
from lora_gui.studio.things.names import called, clean_caption

_PREFIX = "lora-"  # begins the names of their folders
_LONGEST_LINK, _LONGEST_TRIGGER = 2000, 200  # characters


class About(BaseModel):
    """What is said of a LoRA where it came from: a stranger's texts, shown as plain text only."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    title: str = ""
    page: str = ""
    base: str = ""
    words: tuple[str, ...] = ()
    file: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Brought:
    """A LoRA that was brought, and what was said of it there."""

    lora: LoraInfo
    about: About
    pictured: bool  # whether it has a cover from there

    @property
    def called(self) -> str:
        """That it is called otherwise here, where letters of its file's name were lost; else nothing."""
        return called(Path(self.about.file).stem, self.lora.name)


class Bringing(Fetching):
    """One LoRA on its way into one studio."""

    command = "bring"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        said = files.read_json(self.task.job)
        known: dict[str, Any] = said if isinstance(said, dict) else {}
        self.link, self.file = str(known.get("link", "")), str(known.get("file", ""))

    def is_here(self) -> bool:
        return (self.task.path / BROUGHT.about).is_file()


def start(studio: Studio, link: str, file: str = "") -> Bringing:
    """Begin to bring what a link leads to, or go on with it; `file` is named where there are several.

    Raises UserError where nothing is named that could be one, or the disk refuses.
    """
    link = link.strip()
    if not link or len(link) > _LONGEST_LINK or not link.isprintable():
        raise UserError("No LoRA is named.", "Write owner/name, or copy the address of its page.")
    links.check(link)
    link = links.without_key(link)  # what is begun stands in a file
    mark = hashlib.sha256(f"{link}\n{file}".encode()).hexdigest()[:16]
    folder = studio.downloads / f"{_PREFIX}{mark}"
    Bringing(folder).begin(BringJob(link=link, file=file))
    return Bringing(folder)


def begun(studio: Studio) -> list[Bringing]:
    """Every LoRA on its way, those that have come and were not taken in yet among them."""
    return [Bringing(path.parent) for path in sorted(studio.downloads.glob(f"{_PREFIX}*/job.json"))]


def take_in(studio: Studio, bringing: Bringing) -> Brought | None:
    """Put a LoRA that has come among the user's; None where another window did so meanwhile.

    Raises UserError: where it is no usable LoRA nothing of it stays, and all of it where the drive refuses.
    """
    with alone(studio.downloads):
        folder = bringing.task.path
        if not bringing.is_here():
            return None
        about = _usable(folder)
        lora = loras.take_in(studio, folder / BROUGHT.lora, Path(about.file).stem)
        cover = lora.path.with_name(lora.path.stem + PICTURES[0])
        try:
            pictured = _cover(folder / BROUGHT.picture, cover)
            _note(studio, lora, about)
        except UserError:
            for path in (cover, lora.path):  # else it would come twice
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
            raise
        files.remove_folder(folder)
        return Brought(loras.describe(lora.path), about, pictured)


def _usable(folder: Path) -> About:
    """What is said of the LoRA in `folder`, which is deleted where it is none that can be used. Raises UserError."""
    try:
        about = About.model_validate_json(files.read_small(folder / BROUGHT.about))
        loras.require_usable(folder / BROUGHT.lora)
    except (UserError, OSError, ValidationError) as error:
        files.remove_folder(folder)
        if isinstance(error, UserError):
            raise
        raise UserError("What was brought is damaged.", "Bring it again.") from error
    return about


def _cover(preview: Path, cover: Path) -> bool:
    """Make the preview a LoRA's cover, once the sandbox has made a picture of it; one that is none is left out."""
    if not preview.is_file():
        return False
    with Decoder() as decoder, contextlib.suppress(UserError):
        files.write_bytes(cover, decoder.decode(preview)[0])
        return True
    return False


def _note(studio: Studio, lora: LoraInfo, about: About) -> None:
    """Keep what was said of it: the trigger in its file where that says none, the rest in the user's notes."""
    now = edit.metadata(lora.path)
    trigger = clean_caption(next(iter(about.words), ""))[:_LONGEST_TRIGGER]
    if trigger and not trigger_of(now):
        title, text = now.get("modelspec.title") or about.title[:200], now.get("modelspec.description", "")
        edit.edit(lora.path, edited(now, title, trigger, strength_of(now), text))
    notes.change(studio, lora.name, text="\n".join(_said(about)), came=datetime.now().isoformat())


def _said(about: About) -> Iterator[str]:
    yield f"{about.title}, from {about.page}"
    if about.base:
        yield f"Base, as its maker calls it: {about.base}"
    if about.words:
        yield f"Trigger words: {'; '.join(about.words)}"[:2000]
    yield f"As it came, {about.file} has the sha256 {about.sha256}."
