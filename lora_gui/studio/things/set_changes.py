"""Changes to a picture set that can be taken back and done again, kept in its folder beside what they changed.

A change holds, of each file, what is not in the set at the moment: first the new content, and once it is done the
former. Doing and undoing are the same exchange, so that at no time anything is lost.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from lora_gui import files
from lora_gui.errors import UserError

FOLDER = ".changes"
_TOLD = "change.json"
_NAME = re.compile(r"(set\.json|\d{4,5}\.(png|txt))")  # of what can be changed
_AWAY = ".away"  # behind a name: on its way out of the set


class Change(NamedTuple):
    """`says` is what was done, in a sentence; `done` whether it stands or was taken back."""

    folder: Path
    says: str
    names: tuple[str, ...]
    done: bool


def history(folder: Path) -> list[Change]:
    """What was changed in a set, the oldest first; those that were taken back are the last."""
    found = []
    for place in sorted((folder / FOLDER).glob("[0-9]*")):
        try:
            said = files.read_json(place / _TOLD)
            names = tuple(str(name) for name in said["names"] if _NAME.fullmatch(str(name)))
            found.append(Change(place, str(said["says"]), names, bool(said["done"])))
        except (*files.STRANGE, KeyError):
            continue
    return found


def do(folder: Path, says: str, contents: Mapping[str, bytes | None]) -> None:
    """Put these contents in place of the files of a set, None for no file; what was taken back before is forgotten.

    Raises UserError where the disk refuses.
    """
    past = history(folder)
    for change in past:
        if not change.done:
            files.remove_folder(change.folder)
    last = max((int(change.folder.name) for change in past), default=0)
    place = folder / FOLDER / f"{last + 1:06}"
    for name, data in contents.items():
        if data is not None:
            files.write_bytes(place / name, data)
    change = Change(place, says, tuple(contents), False)
    _tell(change)
    _exchange(change)


def undo(folder: Path) -> str:
    """Take the last change back; what it was. Raises UserError where there is none."""
    done = [change for change in history(folder) if change.done]
    if not done:
        raise UserError("There is nothing to take back.", "What you change from now on can be.")
    _exchange(done[-1])
    return done[-1].says


def redo(folder: Path) -> str:
    """Do the change again that was taken back last; what it was. Raises UserError where there is none."""
    undone = [change for change in history(folder) if not change.done]
    if not undone:
        raise UserError("There is nothing to do again.", "Take something back first.")
    _exchange(undone[0])
    return undone[0].says


def _exchange(change: Change) -> None:
    """What the change holds against what is in the set, file by file."""
    home = change.folder.parent.parent
    for name in change.names:
        held, there, away = change.folder / name, home / name, change.folder / f"{name}{_AWAY}"
        if there.exists():
            files.replace(there, away)
        if held.exists():
            files.replace(held, there)
        if away.exists():
            files.replace(away, held)
    _tell(change._replace(done=not change.done))


def _tell(change: Change) -> None:
    files.write_json(change.folder / _TOLD, {"says": change.says, "names": list(change.names), "done": change.done})
