"""What the picture desk shows, as its script takes it: every picture with its caption, its crop and what is found."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lora_gui.framing import Framing, Size
from lora_gui.protocol.jobs import Base, mask_beside
from lora_gui.protocol.learnt import with_trigger
from lora_gui.settings import TrainSettings
from lora_gui.studio.doctor import doctor, reading
from lora_gui.studio.doctor.finding import KINDS, Judgement
from lora_gui.studio.things import framings, set_changes, set_edits
from lora_gui.studio.things.pictures import Picture, PictureSet


@dataclass(frozen=True)
class Aim:
    """What the pictures are for, as far as it changes what the desk shows."""

    base: Base | None = None
    settings: TrainSettings | None = None
    trigger: str = ""

    def mark(self, found: PictureSet) -> str:
        """Which tells one state of the desk from another: of whose pictures, and how they are framed."""
        about = (self.settings.resolution, self.settings.batch_size) if self.settings else ()
        return json.dumps([found.folder.name, self.base.key if self.base else "", *about])

    def unread(self, caption: str) -> int:
        """How many of the last words of a caption the base does not read."""
        told = with_trigger(self.trigger, caption)
        return min(len(told.split()) - self._reading.words(told), len(caption.split()))

    @cached_property
    def _reading(self) -> reading.Reading:
        """Read from the base's folder once for all captions."""
        return reading.of_base(self.base)


def state(found: PictureSet, aim: Aim, judgement: Judgement, small: Callable[[Path], str]) -> str:
    """The whole desk. `small` gives the address of a small copy."""
    patients = doctor.of_set(found)
    each = [
        _cell(picture, patient.file, size, aim, judgement)
        for picture, patient, (_, size) in zip(found.pictures, patients, framings.sizes(found.pictures), strict=True)
    ]
    told: dict[str, Any] = {"set": found.folder.name, "at": found.read, "cells": each}
    return json.dumps(told | {"out": out(found.folder, small), "history": history(found.folder)})


def out(folder: Path, small: Callable[[Path], str]) -> list[dict[str, Any]]:
    """The pictures that can be put back."""
    return [{"n": one.number, "name": one.label, "small": small(one.path)} for one in set_edits.taken_out(folder)]


def history(folder: Path) -> dict[str, str]:
    """What was done last and what was taken back last, in sentences; empty where nothing was."""
    past = set_changes.history(folder)
    done, undone = [one.says for one in past if one.done], [one.says for one in past if not one.done]
    return {"done": done[-1] if done else "", "undone": undone[0] if undone else ""}


def _cell(picture: Picture, name: str, size: Size | None, aim: Aim, judgement: Judgement) -> dict[str, Any]:
    caption, found = picture.written, judgement.worst_first(name)
    cell: dict[str, Any] = {"n": int(picture.path.stem), "name": name, "caption": caption, "size": size or (1, 1)}
    cell |= {"crop": picture.crop, "box": (1, 1), "problem": "", "unread": aim.unread(caption)}
    cell |= {"mask": mask_beside(picture.path).is_file(), "made": picture.digest}
    cell["found"] = [{"severity": one.severity, "badge": KINDS[one.kind].badge, "says": one.says} for one in found]
    if not aim.base or not aim.settings:
        return cell
    framed = framings.one(name, size, aim.base.family, aim.settings, picture.crop)
    if framed.framing is None:
        return cell | {"problem": framed.line}
    return cell | {"box": _box(framed.framing), "learnt": framed.framing.bucket}


def _box(framing: Framing) -> tuple[float, float]:
    """The shares of a picture's width and height that stay."""
    (wide, high), (width, height) = framing.bucket, framing.scaled
    return round(wide / width, 4), round(high / height, 4)
