"""The report that is being made: one at a time, followed and stopped by anybody, also where nobody looks."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Any

from lora_gui.errors import UserError
from lora_gui.studio.insight import report
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.studio.tasks.run import Run

BUSY = UserError("What another run learnt is being looked at.", "Wait until it is done, or stop it.")


@dataclass(frozen=True)
class Standing:
    """How the latest one stands; `problem` is why there is no report of the run in the folder `run`."""

    run: str = ""
    done: int = 0
    of: int = 0
    goes_on: bool = False
    stopping: bool = False
    problem: UserError | None = None


class AtWork:
    """What it is may be asked from any thread."""

    def __init__(self, studio: Studio, drawer: Drawer) -> None:
        self._studio, self._drawer = studio, drawer
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._standing = Standing()

    @property
    def standing(self) -> Standing:
        return self._standing

    def begin(self, run: Run, **order: Any) -> None:
        """Make the report of a run; nothing where that goes on already. Raises UserError where another's does."""
        with self._lock:
            if self._standing.goes_on:
                if self._standing.run == run.folder.name:
                    return
                raise BUSY
            self._standing, self._stop = Standing(run.folder.name, goes_on=True), threading.Event()
            threading.Thread(target=self._make, args=(run, self._stop, order), daemon=True).start()

    def stop(self) -> None:
        """Draw nothing more for it; what was found of the run before stays."""
        with self._lock:
            self._stop.set()
            self._standing = replace(self._standing, stopping=self._standing.goes_on)

    def _make(self, run: Run, stop: threading.Event, order: dict[str, Any]) -> None:
        name, problem = run.folder.name, None
        try:
            for done, of in report.make(self._studio, self._drawer, run, stop.is_set, **order):
                with self._lock:  # or a `stop` meanwhile would put back how it stood
                    self._standing = Standing(name, done, of, goes_on=True, stopping=stop.is_set())
        except UserError as error:
            problem = error
        finally:
            with self._lock:
                self._standing = Standing(name, problem=problem)
