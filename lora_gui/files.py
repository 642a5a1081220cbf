"""Every durable write of the app: beside the target, flushed, renamed. Nothing else opens a file for writing."""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import psutil

from lora_gui import drive
from lora_gui.drive import HALF_MADE, LONGEST_NAME, refused
from lora_gui.drive import DiskFullError as DiskFullError
from lora_gui.errors import UserError, shown

SMALL = 1 << 20  # bytes; more is not read of a file that is meant to be a short text
# What reading one strange entry of a list may raise; whoever reads a list passes over such an entry and goes on.
STRANGE = (UserError, OSError, ValueError, TypeError, RecursionError)
_WAITS = (0.05, 0.1, 0.2, 0.4, 0.8)  # seconds; Windows renames and deletes no file that a scanner holds
_BUSY = {5, 32, 33}  # WinError: access denied, sharing violation, lock violation
_SELF = uuid.uuid4().hex[:8]


def about_to(act: str, path: Path) -> None:
    """Nothing. Stands before every act upon the disk, so that tests can count them, refuse one or die at one."""


def write_bytes(path: Path, data: bytes, private: bool = False) -> None:
    """Replace `path` by `data` as a whole or not at all; `private` keeps other users of the computer from reading it.

    Raises UserError when the disk is full or refuses.
    """
    write_chunks(path, (data,), private)


def write_chunks(path: Path, chunks: Iterable[bytes], private: bool = False) -> None:
    """As `write_bytes`, for what is too large for memory; a UserError of `chunks` leaves the old file as it is."""
    with _saving(path) as partial:
        _make(path.parent)
        about_to("open", partial)
        with open(partial, "wb", opener=(lambda at, flags: os.open(at, flags, 0o600)) if private else None) as file:
            for chunk in chunks:
                about_to("write", partial)
                file.write(chunk)
            _flush(file, partial)
        replace(partial, path)


def write_text(path: Path, text: str) -> None:
    """As `write_bytes`, in UTF-8."""
    write_bytes(path, encoded(text))


def encoded(text: str) -> bytes:
    """In UTF-8. Raises UserError where that cannot be, as of a name that came in bytes of another encoding."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        what = "A name or a text that was given is not in UTF-8."
        raise UserError(what, "Type it anew, or give the file or folder another name.") from None


def write_json(path: Path, value: Any, private: bool = False) -> None:
    """As `write_bytes`."""
    write_bytes(path, to_json(value, 1).encode("utf-8"), private)


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON that UTF-8 can hold: bytes of a path that are no letters stand escaped in it, and are read back the same."""
    return json.dumps(value, ensure_ascii=False, indent=indent).encode("utf-8", "backslashreplace").decode("utf-8")


def overwrite(path: Path, text: str) -> None:
    """Replace what a small file says without making it durable, for what is only of use while a process lives."""
    with contextlib.suppress(OSError):
        path.write_text(text, encoding="utf-8")


def append_line(path: Path, line: str) -> None:
    """Add a line to a file of lines, also where a crash has left half a line at its end. Raises UserError."""
    with _saving(path):
        about_to("append", path)
        with open(path, "a+b") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - 1, 0))
            ending = b"" if file.read(1) in (b"", b"\n") else b"\n"
            file.write(ending + encoded(line) + b"\n")
            _flush(file, path)


def replace(source: Path, target: Path) -> None:
    """Rename within one folder and make the rename durable, retrying where Windows refuses it for a moment."""
    about_to("rename", target)
    _patiently(lambda: os.replace(source, target))
    sync_folder(target.parent)


def _patiently(act: Callable[[], None]) -> None:
    for wait in (*_WAITS, None):
        try:
            act()
            return
        except OSError as error:
            if wait is None or getattr(error, "winerror", None) not in _BUSY:
                raise
            time.sleep(wait)


def move(source: Path, target: Path) -> None:
    """Give a file, a folder or a link another place, also on another drive. Raises UserError when the disk refuses."""
    with _saving(target) as partial:
        _make(target.parent)
        try:
            replace(source, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            about_to("write", partial)
            drive.carry(source, partial)
            replace(partial, target)
            _drop(source)  # last, so that it is whole at one place at least


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    about_to("sync", folder)
    drive.flush_folder(folder)


def sync_files(folder: Path) -> None:
    """Make durable what a library wrote into a folder and those below it; what is linked there is left as it is."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.lstat().st_nlink == 1 and not p.is_symlink()):
        about_to("sync", path)
        with open(path, "rb+") as file:
            drive.flush(file.fileno())


def open_stream(path: Path) -> IO[bytes]:
    """Open a file that a child's output is appended to. Raises UserError where the disk refuses."""
    try:
        _make(path.parent)
        return open(path, "ab", buffering=0)
    except OSError as error:
        raise refused(path, error) from error


def make_folder(path: Path) -> None:
    """Make a folder and those above it. Raises UserError where the disk refuses."""
    with _saving(path):
        _make(path)


def make_private_folder(path: Path) -> None:
    """Make a folder that other users of the computer cannot look into. Raises UserError where the disk refuses."""
    with _saving(path):
        _make(path)
        drive.make_private(path)


def copy(source: Path, target: Path) -> None:
    """Copy a file as a whole or not at all. Raises UserError when the disk is full or refuses."""
    with _saving(target) as partial:
        _make(target.parent)
        about_to("open", partial)
        with open(source, "rb") as read, open(partial, "wb") as file:
            about_to("write", partial)
            shutil.copyfileobj(read, file, 1 << 20)
            _flush(file, partial)
        replace(partial, target)


def touch(path: Path) -> None:
    """Make an empty file that is a sign to another process, or renew its time. Raises UserError."""
    with _saving(path):
        _make(path.parent)
        about_to("open", path)
        path.touch()


def remove(path: Path) -> None:
    """Delete a file that may not be there. Raises UserError when the disk refuses."""
    with _saving(path):
        about_to("remove", path)
        _patiently(lambda: path.unlink(missing_ok=True))


def half_made(target: Path) -> Path:
    """Where a folder is filled before `move` gives it its name; `sweep` deletes it where this is cut short."""
    return _beside(target, "tmp")


def remove_folder(folder: Path) -> None:
    """Take a folder away: at once under its name, then its files; `sweep` does the rest where this is cut short."""
    gone = folder if HALF_MADE.fullmatch(folder.name) else _beside(folder, "gone")
    with contextlib.suppress(OSError):
        if gone != folder:
            replace(folder, gone)
    _drop(gone)


def sweep(folder: Path, alone: bool = False) -> None:
    """Delete what processes that have died since left half done in a folder; what a living one does is left alone.

    `alone` is for folders of the app that nobody writes into now, since this process holds their lock: what it left
    there itself is deleted, too, and what older versions left as `<name>.tmp`.
    """
    for stray in folder.iterdir() if folder.is_dir() else ():
        if ours := HALF_MADE.fullmatch(stray.name):
            mine = int(ours[2]) == os.getpid()
            if (alone or ours[3] != _SELF) if mine else not psutil.pid_exists(int(ours[2])):
                _drop(stray)
        elif alone and stray.suffix == ".tmp" and stray.is_dir():
            remove_folder(stray)


def free_name(folder: Path, name: str, suffix: str) -> Path:
    """A new path in `folder`: name, name-2 ...; case does not count. Raises UserError where the name is a path."""
    if re.search(r"[/\\:\0]|^\.*$", name):
        raise UserError(f"The name {shown(name)} looks like a path.", "Use a plain name.")
    return folder / f"{drive.free_stem(folder, name, [suffix])}{suffix}"


def sha256(path: Path) -> str:
    """Hex digest of a whole file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_small(path: Path, most: int = SMALL) -> bytes:
    """All of a small file. Raises OSError where it is larger, or none: a pipe or an endless device is never opened."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise IsADirectoryError(errno.EISDIR, "not a file", str(path))
    with open(path, "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, "too large", str(path))
    return data


def read_json(path: Path, most: int = SMALL) -> Any:
    """Read a JSON file of ours; None where it is missing, damaged or larger than `most` bytes."""
    try:
        return json.loads(read_small(path, most).decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return None


def _beside(path: Path, suffix: str = "part") -> Path:
    """A name of its own for what is not whole; it says whose it is, so that a dead process's can be swept away."""
    ours = f".{os.getpid()}-{_SELF}{uuid.uuid4().hex[:8]}.{suffix}"
    name = path.name.encode("utf-8", "replace")[: LONGEST_NAME - len(ours) - 1].decode("utf-8", "ignore")
    return path.parent / f".{name}{ours}"  # not with_name: . and / have none


@contextlib.contextmanager
def _saving(path: Path) -> Iterator[Path]:
    """Where `path` can be made before it has its name; dropped where it fails, and a disk that refuses is told."""
    partial = _beside(path)
    try:
        yield partial
    except (UserError, OSError) as error:
        _drop(partial)
        if isinstance(error, OSError):
            raise refused(path, error) from error
        raise


def _make(folder: Path) -> None:
    """Make a folder and those above it, durably: each new name is flushed where it stands."""
    if folder.is_dir():
        return
    _make(folder.parent)
    about_to("make", folder)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def _flush(file: IO[bytes], path: Path) -> None:
    about_to("sync", path)
    file.flush()
    drive.flush(file.fileno())


def _drop(path: Path) -> None:
    """Delete a file or a folder of files; what cannot be deleted takes room, but harms nobody."""
    with contextlib.suppress(OSError):
        about_to("remove", path)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
