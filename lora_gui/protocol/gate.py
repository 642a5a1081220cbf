"""The gate that a run goes through once, where its steps begin: before it, it may be broken off at any moment."""

import threading
from collections.abc import Callable


class Gate:
    """Between what comes before the first step, which may be broken off at any moment, and the steps."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun = False
        self.others: Callable[[], str] = lambda: ""  # what another process of the training failed with, as a line

    def begin(self) -> None:
        """The steps begin; returns never where the process is just being ended."""
        with self._lock:
            self._begun = True

    def close(self) -> bool:
        """Whether nothing has begun yet; then nothing ever will."""
        self._lock.acquire()
        if self._begun:
            self._lock.release()
        return not self._begun
