"""Locks that a process holds for as long as it lives, and whether somebody holds one; no clock and no process id.

The system frees them when the process ends, however it ends, and a copied file is not locked.
"""

import contextlib
import errno
import os
import sys
import time
from pathlib import Path

from filelock import FileLock, Timeout

PROBES = 3  # on Windows a probe takes the lock for an instant, so another probe may meet it
BETWEEN = 0.02  # seconds


class Lock:
    """An exclusive lock on a file; `hold` it once, and the process keeps it as long as it keeps this object."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._lock = FileLock(self.path, thread_local=False)

    def hold(self, seconds: float = 0.0) -> bool:
        """Whether this process holds the lock now; waits up to so many seconds for it. Raises OSError."""
        try:
            self._lock.acquire(timeout=seconds, poll_interval=0.05)
        except Timeout:
            return False
        return True

    def release(self) -> None:
        self._lock.release(force=True)


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


def _is_flocked(path: Path) -> bool:
    """A shared lock meets an exclusive one, and never another probe's."""
    import fcntl

    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
    finally:
        with contextlib.suppress(OSError):
            os.close(handle)
    return False
