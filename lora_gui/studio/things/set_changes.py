"""Changes to a picture set that can be taken back and done again, kept in its folder beside what they changed.

A change holds, of each file, what is not in the set at the moment: first the new content, and once it is done the
former. Doing and undoing are the same exchange, so that at no time anything is lost, and what a crash has cut short
is brought to its end by the next who looks.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.protocol.lock import Lock
from lora_gui.studio.things import picture_index

FOLDER = ".changes"
_TOLD = "change.json"
_NAME = re.compile(r"(set\.json|\d{4,5}(-masklabel)?\.png|\d{4,5}\.txt)")  # of what can be changed
_AWAY = ".away"  # behind a name: on its way out of the set
_BEGUN, _LOCK = "begun.json", ".lock"
_PATIENCE = 10.0  # seconds; few changes take longer, and who waits for one of them is told
# The ways of an exchange. Each is over for all files before the next, so that its number says where each file is.
_STEPS = (("set", "away"), ("held", "set"), ("away", "held"))


T = TypeVar("T")
Contents = Mapping[str, bytes | Path | None]  # of files by name; a file is moved here, None is no file
Made = tuple[str, Contents]  # what is done, in a sentence, and by which contents


class Change(NamedTuple):
    """`says` is what was done, in a sentence; `done` whether it stands or was taken back; `within` what it goes on."""

    folder: Path
    says: str
    names: tuple[str, ...]
    done: bool
    within: str = ""


def history(folder: Path) -> list[Change]:
    """What was changed in a set, the oldest first; those that were taken back are the last."""
    found = []
    for place in _places(folder):
        try:
            said = files.read_json(place / _TOLD)
            names = tuple(str(name) for name in said["names"] if _NAME.fullmatch(str(name)))
            found.append(Change(place, str(said["says"]), names, bool(said["done"]), str(said.get("within", ""))))
        except (*files.STRANGE, KeyError):
            continue
    return found


def do(folder: Path, says: str, contents: Contents) -> None:
    """As `make`, of contents that follow from nothing that is in the set."""
    make(folder, lambda: (says, contents))


def make(folder: Path, made: Callable[[], Made], within: str = "") -> None:
    """Put the contents of `made` in place of the files of a set, None for no file; what was taken back is forgotten.

    `made` is called while nobody else changes the set, so that what it reads there, such as the list, is what it
    changes; where it has no contents, nothing is done. What goes on `within` the same as the change before, such as
    the typing of a caption, is one with it. Raises UserError as `made`, or where the disk refuses.
    """
    with _alone(folder):
        says, contents = made()
        if not contents:
            return
        past = history(folder)
        if within and past and past[-1].done and past[-1].within == within and past[-1].names == tuple(contents):
            _put(folder, contents)
            return
        for change in past:
            if not change.done:
                files.remove_folder(change.folder)
        last = max((int(place.name) for place in _places(folder)), default=0)
        place = folder / FOLDER / f"{last + 1:06}"
        _put(place, contents)
        change = Change(place, says, tuple(contents), False, within)
        _tell(change)
        _exchange(change)


def _put(place: Path, contents: Contents) -> None:
    """Raises UserError where the disk refuses."""
    for name, data in contents.items():
        if isinstance(data, Path):
            files.move(data, place / name)
        elif data is not None:
            files.write_bytes(place / name, data)


def undo(folder: Path, ask: Callable[[Change], None] = lambda change: None) -> str:
    """Take the last change back; what it was. Raises UserError where there is none, or as `ask`, which is told it."""
    nothing = UserError("There is nothing to take back.", "What you change from now on can be.")
    return _turned(folder, lambda past: next((one for one in reversed(past) if one.done), None), nothing, ask)


def redo(folder: Path, ask: Callable[[Change], None] = lambda change: None) -> str:
    """Do the change again that was taken back last; what it was. Raises UserError as `undo`."""
    nothing = UserError("There is nothing to do again.", "Take something back first.")
    return _turned(folder, lambda past: next((one for one in past if not one.done), None), nothing, ask)


def _turned(
    folder: Path, which: Callable[[list[Change]], Change | None], nothing: UserError, ask: Callable[[Change], None]
) -> str:
    with _alone(folder):
        if not (change := which(history(folder))):
            raise nothing
        ask(change)
        _exchange(change)
        return change.says


def between(folder: Path, read: Callable[[], T]) -> T:
    """What `read` finds while no change is under way, nor one that a crash has cut short, which is brought to its end.

    Raises UserError as `do`.
    """
    while True:
        if (folder / FOLDER / _BEGUN).is_file():
            with _alone(folder):
                pass
        before, missed = _stirred(folder), None
        try:
            found = read()
        except UserError as error:  # perhaps since what it is about was on its way
            missed = error
        if before == _stirred(folder) and not (folder / FOLDER / _BEGUN).is_file():
            if missed:
                raise missed
            return found


def _stirred(folder: Path) -> tuple[int, ...]:
    """When a change was begun or ended last, in ns; on drives that count whole seconds, such as FAT, also how each
    stands, by the length of its note."""
    try:
        when = (folder / FOLDER).stat().st_mtime_ns
        notes = [] if when % 1_000_000_000 else [place / _TOLD for place in _places(folder)]
        return when, *(one.stat().st_size if one.is_file() else 0 for one in notes)
    except (OSError, ValueError):  # nothing was ever changed; or there can be no such folder
        return ()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """While nobody else changes the set, and once all that was begun is done. Raises UserError."""
    home = folder / FOLDER
    if not home.is_dir():
        picture_index.read(folder)  # so that nothing is made where there is no set
    otherwise = "These pictures are being changed in another window."
    with Lock(home / _LOCK).alone(_PATIENCE, otherwise, "Wait a moment, and try it again."):
        _finish(home)
        yield


def _exchange(change: Change) -> None:
    """What the change holds against what is in the set."""
    _begin(change, not change.done, 0)
    _finish(change.folder.parent)


def _begin(change: Change, done: bool, step: int) -> None:
    """Note what is under way, so that whoever comes after a crash can go on."""
    files.write_json(change.folder.parent / _BEGUN, {"change": change.folder.name, "done": done, "step": step})


def _finish(home: Path) -> None:
    """Go on with what was begun, from the step it came to; a step that was half done is done again, to the same end."""
    begun = files.read_json(home / _BEGUN)
    known = {change.folder.name: change for change in history(home.parent)}
    change = known.get(str(begun.get("change"))) if isinstance(begun, dict) else None
    if change is not None:
        for number, (source, target) in enumerate(_STEPS[begun["step"] :], start=begun["step"]):
            for name in change.names:
                if (there := _place(change, source, name)).exists():
                    files.move(there, _place(change, target, name))
            _begin(change, begun["done"], number + 1)
        _tell(change._replace(done=begun["done"]))
    files.remove(home / _BEGUN)


def _place(change: Change, where: str, name: str) -> Path:
    """Where a file of the set is, as `_STEPS` call it."""
    home = change.folder.parent.parent if where == "set" else change.folder
    return home / (f"{name}{_AWAY}" if where == "away" else name)


def _places(folder: Path) -> list[Path]:
    return sorted(place for place in (folder / FOLDER).glob("[0-9]*") if place.name.isdecimal())


def _tell(change: Change) -> None:
    said = {"says": change.says, "names": list(change.names), "done": change.done, "within": change.within}
    files.write_json(change.folder / _TOLD, said)
