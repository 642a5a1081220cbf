"""What is done to single pictures of a set: a caption, what stays where it is cropped, out and back; each undoable."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lora_gui.errors import UserError
from lora_gui.framing import MIDDLE, Place
from lora_gui.protocol.jobs import mask_beside
from lora_gui.studio.doctor import remedies
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import picture_index, pictures, set_changes
from lora_gui.studio.things.names import clean_caption, read_lines


class TakenOut(NamedTuple):
    """A picture that was taken out of a set; `path` is where it lies until it is put back."""

    number: int
    label: str
    path: Path


def caption(folder: Path, number: int, words: str, within: str = "") -> str:
    """Write a caption, in the same change as what was written `within` the same; the caption as it stands then.

    Each of its lines stays one, since each can be learnt as a caption of its own. Raises UserError where there
    is no such picture, or the disk refuses.
    """
    clean = "\n".join(line for one in words.splitlines() if (line := clean_caption(one)))

    def made() -> set_changes.Made:
        label, path = _picture(folder, number)
        text = path.with_suffix(".txt")
        try:
            was: str | None = "\n".join(read_lines(text))
        except UserError:  # deleted, or no text any more
            was = None
        return f"The caption of {label} was changed.", {text.name: clean.encode("utf-8")} if was != clean else {}

    set_changes.make(folder, made, f"{number} {within}" if within else "")
    return clean


def crop(folder: Path, number: int, place: Place, within: str = "") -> None:
    """Say what stays of a picture where it is cropped. Raises UserError as `caption`, or where `place` is outside."""

    def made() -> set_changes.Made:
        label, _ = _picture(folder, number)
        if not all(0 <= share <= 1 for share in place):
            raise UserError(f"{label} cannot be cropped there.", "Move the frame within the picture.")
        index = picture_index.read(folder)
        crops = {**index.crops, number: place}
        if place == MIDDLE:
            del crops[number]
        new = picture_index.written(index.model_copy(update={"crops": crops}))
        return f"The crop of {label} was moved.", {picture_index.FILE: new} if crops != index.crops else {}

    set_changes.make(folder, made, f"crop {number} {within}" if within else "")


def take_out(studio: Studio, folder: Path, numbers: Sequence[int]) -> None:
    """Take pictures out of a set. Raises UserError where none is there, none would stay, or a run needs the set."""

    def made() -> set_changes.Made:
        found = pictures.load(folder)
        meant = [one for one in found.pictures if int(one.path.stem) in set(numbers)]
        if not meant:
            raise UserError("That picture is not in this set any more.", "Look at what is there now.")
        if len(meant) == len(found.pictures):
            raise UserError("A set needs one picture at least.", "Choose other pictures instead.")
        pictures.require_free(studio, folder)
        says, contents = remedies.remove(found, meant)
        return f"{meant[0].label} was taken out." if len(meant) == 1 else says, contents

    set_changes.make(folder, made)


def taken_out(folder: Path) -> list[TakenOut]:
    """The pictures that can be put back."""
    return set_changes.between(folder, lambda: _taken_out(folder))


def _taken_out(folder: Path) -> list[TakenOut]:
    index = picture_index.read(folder)
    past = [change for change in set_changes.history(folder) if change.done]
    held = {name: change.folder / name for change in past for name in change.names}
    pairs = [(number, held.get(f"{number:04}.png")) for number in index.removed]
    return [TakenOut(at, index.labels[at - 1], path) for at, path in pairs if path and path.is_file()]


def put_back(folder: Path, number: int) -> None:
    """Put a picture back that was taken out, with its caption and its mask. Raises UserError where it is gone."""

    def made() -> set_changes.Made:
        one = next((one for one in taken_out(folder) if one.number == number), None)
        if one is None:
            raise UserError("That picture cannot be put back any more.", "Add it again.")
        index = picture_index.read(folder)
        removed = tuple(other for other in index.removed if other != number)
        beside = (one.path, one.path.with_suffix(".txt"), mask_beside(one.path))
        contents = {path.name: path.read_bytes() for path in beside if path.is_file()}
        contents[picture_index.FILE] = picture_index.written(index.model_copy(update={"removed": removed}))
        return f"{one.label} was put back.", contents

    set_changes.make(folder, made)


def step(studio: Studio, folder: Path, way: str) -> str:
    """`undo` the last change, or `redo` what was taken back last; what it was.

    Raises UserError where there is none, or where it changes which pictures a run that needs the set learns from.
    """

    def ask(change: set_changes.Change) -> None:
        if any(name[:-4].isdecimal() and name.endswith(".png") for name in change.names):
            pictures.require_free(studio, folder)

    return {"undo": set_changes.undo, "redo": set_changes.redo}[way](folder, ask)


def _picture(folder: Path, number: int) -> tuple[str, Path]:
    """Its name and its file. Raises UserError where there is none of that number."""
    labels, path = picture_index.read(folder).labels, folder / f"{number:04}.png"
    if not 0 < number <= len(labels) or not path.is_file():
        raise UserError("That picture is not in this set any more.", "Look at what is there now.")
    return labels[number - 1], path
