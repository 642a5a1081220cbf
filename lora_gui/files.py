"""Every durable write of the app: beside the target, flushed, renamed. Nothing else opens a file for writing."""

import errno
import hashlib
import json
import os
import shutil
import time
import uuid
from pathlib import Path
from typing import IO, Any

from lora_gui.errors import UserError

_WAITS = (0.05, 0.1, 0.2, 0.4, 0.8)  # seconds; Windows refuses a rename while a scanner holds the file
_BUSY = {5, 32, 33}  # WinError: access denied, sharing violation, lock violation


def write_bytes(path: Path, data: bytes, private: bool = False) -> None:
    """Replace `path` by `data` as a whole or not at all; `private` keeps other users of the computer from reading it.

    Raises UserError when the disk is full or refuses.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "wb", opener=_private if private else None) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise _refused(path, error) from error


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any, private: bool = False) -> None:
    write_bytes(path, json.dumps(value, ensure_ascii=False, indent=1).encode("utf-8"), private)


def replace(source: Path, target: Path) -> None:
    """Rename within one folder and make the rename durable, retrying where Windows refuses it for a moment."""
    for wait in (*_WAITS, None):
        try:
            os.replace(source, target)
            break
        except OSError as error:
            if wait is None or getattr(error, "winerror", None) not in _BUSY:
                raise
            time.sleep(wait)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def open_stream(path: Path) -> IO[bytes]:
    """Open a file that a child's output is appended to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return open(path, "ab", buffering=0)


def make_folder(path: Path) -> None:
    """Make a folder and those above it. Raises UserError where the disk refuses."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _refused(path, error) from error


def make_private_folder(path: Path) -> None:
    """Make a folder that other users of the computer cannot look into."""
    make_folder(path)
    path.chmod(0o700)


def copy(source: Path, target: Path) -> None:
    """Copy a file as a whole or not at all. Raises UserError when the disk is full or refuses."""
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(source, "rb") as read, open(partial, "wb") as file:
            shutil.copyfileobj(read, file, 1 << 20)
            file.flush()
            os.fsync(file.fileno())
        replace(partial, target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise _refused(target, error) from error


def touch(path: Path) -> None:
    """Make an empty file that is a sign to another process, or renew its time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def free_name(folder: Path, name: str, suffix: str) -> Path:
    """A path in `folder` that does not exist yet: name, name-2, name-3 ...; upper and lower case count as the same."""
    taken = {p.name.casefold() for p in folder.iterdir()} if folder.is_dir() else set()
    candidate, number = f"{name}{suffix}", 2
    while candidate.casefold() in taken:
        candidate, number = f"{name}-{number}{suffix}", number + 1
    return folder / candidate


def sha256(path: Path) -> str:
    """Hex digest of a whole file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path) -> Any:
    """Read a JSON file of ours; None where it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _refused(path: Path, error: OSError) -> UserError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        what = f"The disk is full, {path.name} could not be saved."
        return UserError(what, "Make some space and try again; nothing older was changed.")
    what = f"{path.name} could not be saved ({error.strerror})."
    return UserError(what, f"Check that the folder {path.parent.name} can be written to.")
