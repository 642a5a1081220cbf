"""What drives differ in: some cannot flush, lock or keep a mode; why one refuses, in a sentence; names in folders."""

import contextlib
import errno
import os
import re
import shutil
import unicodedata
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from lora_gui.errors import UserError

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]

_FULLY = getattr(fcntl, "F_FULLFSYNC", 0)  # of a Mac, whose fsync leaves what it is given in the drive's own memory
# What a drive answers that does not know a call at all: network drives, FUSE and shared folders of virtual machines.
_UNKNOWN = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK, errno.ENOTTY}
# Some let nobody open or flush a folder, which costs no more than that a new name is not durable at once.
_UNKNOWN_OF_FOLDERS = _UNKNOWN | {errno.EACCES, errno.EPERM, errno.EBADF, errno.EISDIR}
_TOO_LONG = {3, 123, 206}  # WinError: no such path, no such name, name or path too long
_IN_USE = {32, 33, 1224}  # WinError: a file, a part of one, or what is mapped of one, is in use
LONGEST_NAME = 255  # bytes of a file's name, as most file systems have it
_LONGEST = 259  # characters of a path, where Windows was not told to take longer ones
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FULL_IN_WORDS = [os.strerror(number) for number in _FULL]
# How files.py calls what is half made or half deleted, after what it is to be or was; nobody calls a thing of their own
# so. The number is a process, and what follows tells this one from those that had its number before.
HALF_MADE = re.compile(r"\.(.+)\.(\d{1,10})-([0-9a-f]{8})(?:[0-9a-f]{8})?\.(?:part|tmp|gone)")
FULL = "The disk is full.", "Make some space and try again."
ELSEWHERE = "or choose another folder; LORA_GUI_HOME names that of the studio."


class Named:
    """What is called so in a folder, which is the attribute `within` of whoever has it."""

    def __init__(self, name: str = "", within: str = "path") -> None:
        self._name, self._within = name, within

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = self._name or name

    def __get__(self, owner: Any, kind: type | None = None) -> Path:
        found: Path = getattr(owner, self._within) / self._name
        return found


class DiskFullError(UserError):
    """There is no room left; nothing older was changed."""


def require_new(path: Path) -> None:
    """Raises UserError where something lies at `path`, and be it a broken link."""
    if os.path.lexists(path):
        raise UserError(f"{path.name} is there already.", "Give another name; nothing is overwritten.")


def free_stem(folder: Path, stem: str, endings: Collection[str]) -> str:
    """`stem`, or stem-2 ..., that no file in `folder` has with any of these endings; many drives know no capitals, and
    those of a Mac not how an accent is written."""
    taken = {folded(path.name) for path in folder.iterdir()} if os.path.isdir(folder) else set()
    name, number = stem, 2
    while not taken.isdisjoint(folded(f"{name}{ending}") for ending in endings):
        name, number = f"{stem}-{number}", number + 1
    return name


def folded(text: str) -> str:
    """The form in which two names are the same: whatever their case and Unicode form."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def cannot(error: OSError) -> bool:
    """Whether the drive does not know the call, rather than having failed at it."""
    return error.errno in _UNKNOWN


def is_full(error: BaseException | None) -> bool:
    """Whether this error, or one that it came of, is a full disk's; native libraries say so in their text only."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, DiskFullError) or getattr(error, "errno", None) in _FULL:
            return True
        if any(words in str(error) for words in _FULL_IN_WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False


def flush(handle: int) -> None:
    """Make a file durable where its drive can; a failure of the disk is raised as it is."""
    ways = [lambda: fcntl.fcntl(handle, _FULLY)] if _FULLY else []
    for way in (*ways, lambda: os.fsync(handle)):
        try:
            way()
            return
        except OSError as error:
            if not cannot(error):
                raise


def flush_folder(folder: Path) -> None:
    """Make the names in a folder durable where its drive can; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in _UNKNOWN_OF_FOLDERS:
            raise


def carry(source: Path, target: Path) -> None:
    """Copy a file, a folder, or a link itself, durably; for where a rename would lead to another drive."""
    if source.is_symlink():
        target.symlink_to(source.readlink())
    elif source.is_dir():
        target.mkdir()
        for one in source.iterdir():
            carry(one, target / one.name)
        flush_folder(target)
    else:
        shutil.copy2(source, target)
        with target.open("rb+") as file:
            flush(file.fileno())


def make_private(folder: Path) -> None:
    """Keep other users of the computer out of a folder, where its drive keeps modes and it is ours."""
    with contextlib.suppress(OSError):
        folder.chmod(0o700)


def drop_empty(folder: Path) -> None:
    """Take away a folder that nothing is left in; what a file manager has put there, such as .DS_Store, keeps it."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def refused(path: Path, error: OSError) -> UserError:
    """What a disk that refuses to save `path` is told as; what is half made by the name that it is to have."""
    path = Path(*(half[1] if (half := HALF_MADE.fullmatch(part)) else part for part in path.parts))
    if error.errno in _FULL:
        return _full(path)
    of_windows = getattr(error, "winerror", 0)
    if of_windows in _IN_USE:
        return UserError(f"{path.name} is open in another program.", "Close it there, and try again.")
    too_long = of_windows in _TOO_LONG and (len(path.name) > LONGEST_NAME or len(str(path)) > _LONGEST)
    say = _too_long if too_long else _REFUSED.get(error.errno or 0, _otherwise)
    because, remedy = say(path, error)
    return UserError(f"{path.name} could not be saved{because}.", remedy)


def _full(path: Path) -> DiskFullError:
    if _has_room(path):
        what = f"The disk has no room for one more file, {path.name} could not be saved."
        return DiskFullError(what, "Delete files that you do not need, however small, and try again.")
    what = f"The disk is full, {path.name} could not be saved."
    return DiskFullError(what, "Make some space and try again; nothing older was changed.")


def _has_room(path: Path) -> bool:
    """Whether bytes are free where no file can be made: the inodes are used up."""
    there = next(filter(os.path.isdir, path.parents), None)
    if there is None or not hasattr(os, "statvfs"):
        return False
    try:
        found = os.statvfs(there)
    except OSError:
        return False
    return found.f_files > 0 and found.f_favail == 0 and found.f_bavail > 0


def _read_only(path: Path, _: OSError) -> tuple[str, str]:
    return f": the drive of {path.parent} is read-only", f"Make it writable, {ELSEWHERE}"


def _forbidden(path: Path, _: OSError) -> tuple[str, str]:
    return f": you may not write to {path.parent}", f"Give yourself the right to, {ELSEWHERE}"


def _no_folder(path: Path, _: OSError) -> tuple[str, str]:
    file = next((one for one in (path, *path.parents) if os.path.lexists(one) and not os.path.isdir(one)), path)
    if not os.path.exists(file):
        return f": {file} is a link that leads nowhere", f"Connect the drive that it leads to, {ELSEWHERE}"
    return f": {file} is a file, where a folder has to be", f"Move it away, {ELSEWHERE}"


def _too_long(path: Path, _: OSError) -> tuple[str, str]:
    return ": its name, or that of its folder, is too long for the drive", "Choose a shorter one."


def _otherwise(path: Path, error: OSError) -> tuple[str, str]:
    return f" ({error.strerror or error})", f"Check that the folder {path.parent} can be written to."


_REFUSED: dict[int, Callable[[Path, OSError], tuple[str, str]]] = {
    errno.EROFS: _read_only,
    errno.EACCES: _forbidden,
    errno.EPERM: _forbidden,
    errno.ENOTDIR: _no_folder,
    errno.EEXIST: _no_folder,
    errno.ENAMETOOLONG: _too_long,
}
