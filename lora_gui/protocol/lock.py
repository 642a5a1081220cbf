"""Locks that a process holds for as long as it lives, and whether somebody holds one; no clock and no process id.

The system frees them when the process ends, however it ends, and a copied file is not locked. Where a drive cannot
lock, as some network drives, a file of this computer's temporary folder stands in: that keeps the processes of one
computer apart, though not two computers that have the same drive open.
"""

import contextlib
import errno
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from lora_gui import drive, files
from lora_gui.errors import UserError

PROBES = 3  # on Windows a probe takes the lock for an instant, so another probe may meet it
BETWEEN = 0.02  # seconds
FOR_EVER = -1.0


class Lock:
    """An exclusive lock on a file; `hold` it once, and the process keeps it as long as it keeps this object.

    As a context manager it waits for as long as it takes.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._lock = _lock(self.path)

    def hold(self, seconds: float = 0.0) -> bool:
        """Whether this process holds the lock now; waits up to so many seconds for it.

        Raises OSError, and UserError where neither the drive nor this computer's temporary folder can lock.
        """
        try:
            self._lock.acquire(timeout=seconds, poll_interval=0.05)
        except Timeout:
            return False
        except OSError as error:
            if not drive.cannot(error):
                raise
            return self._hold_stand_in(seconds)
        return True

    @contextlib.contextmanager
    def alone(self, seconds: float, otherwise: str, remedy: str = "Try again in a moment.") -> Iterator[None]:
        """While this process holds the lock, in a folder that is made for it.

        Raises UserError: `otherwise` where somebody else holds it for so many seconds, or what the drive refuses.
        """
        files.make_folder(self.path.parent)
        try:
            held = self.hold(seconds)
        except OSError as error:
            raise drive.refused(self.path.parent, error) from error
        if not held:
            raise UserError(otherwise, remedy)
        try:
            yield
        finally:
            self.release()

    def release(self) -> None:
        self._lock.release(force=True)

    def _hold_stand_in(self, seconds: float) -> bool:
        try:
            self.path.touch()  # as a lock that is held has its file
            self._lock = _lock(_stand_in(self.path))
            self._lock.acquire(timeout=seconds, poll_interval=0.05)
        except Timeout:
            return False
        except OSError as error:
            what = f"The drive of {self.path.parent} cannot lock files, and {tempfile.gettempdir()} cannot either"
            raise UserError(
                f"{what} ({error.strerror or error}).", "Set LORA_GUI_HOME to a folder on another drive."
            ) from error
        return True

    def __enter__(self) -> None:
        self.hold(FOR_EVER)

    def __exit__(self, *error: object) -> None:
        self.release()


def is_held(path: Path) -> bool:
    """Whether any process, this one included, holds the lock on `path`; changes nothing and waits for nobody."""
    if not Path(path).is_file():
        return False
    if sys.platform != "win32":
        return _is_flocked(Path(path))
    for _ in range(PROBES):
        try:
            with FileLock(path, timeout=0):
                return False
        except Timeout:
            time.sleep(BETWEEN)
    return True


def _lock(path: Path) -> BaseFileLock:
    return FileLock(path, thread_local=False, fallback_to_soft=False)  # a soft lock outlives its process


def _stand_in(path: Path) -> Path:
    """The file of this computer that is locked in place of `path`; its folder is nobody else's. Raises OSError."""
    user = os.getuid() if sys.platform != "win32" else 0
    folder = Path(tempfile.gettempdir()) / f"lora-studio-locks-{user}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(0o700)
    if sys.platform != "win32" and (folder.is_symlink() or folder.stat().st_uid != user):
        raise OSError(errno.EPERM, f"{folder} is somebody else's")
    return folder / f"{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]}.lock"


def _is_flocked(path: Path, stand_in: bool = True) -> bool:
    """A shared lock meets an exclusive one, and never another probe's."""
    import fcntl

    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        if drive.cannot(error):
            return stand_in and _stand_in_is_flocked(path)
        return error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
    finally:
        with contextlib.suppress(OSError):
            os.close(handle)
    return False


def _stand_in_is_flocked(path: Path) -> bool:
    try:
        return _is_flocked(_stand_in(path), stand_in=False)
    except OSError:
        return False
