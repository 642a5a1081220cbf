"""One run, known by its folder alone: what was ordered, how it stands, and what it can be asked."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.protocol import events
from lora_gui.protocol.jobs import TrainJob
from lora_gui.studio.tasks import process
from lora_gui.studio.tasks.status import Follower, RunStatus, after

SIGNS = {"stop": "stopping", "pause": "pausing"}  # files in the run's folder: what the child is asked for
STARTING = 10.0  # seconds between the folder of a run and its child, at most


class Run:
    """One training, known by its folder alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._follower = Follower(self.folder / "events.jsonl")

    @property
    def job(self) -> TrainJob:
        """What was ordered. Raises UserError where the run's folder is damaged."""
        try:
            return TrainJob.model_validate_json((self.folder / "job.json").read_bytes())
        except (OSError, ValidationError):
            raise UserError(f"The run {self.folder.name} is damaged.", "Start a new one.") from None

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    def stop(self) -> None:
        """Ask the run to finish its step and save what there is."""
        files.touch(self.folder / "stop")

    def pause(self) -> None:
        """Ask the run to keep everything and to give its memory back."""
        files.touch(self.folder / "pause")

    def status(self) -> RunStatus:
        """How it stands now, read from the folder alone."""
        alive = self.lives()  # asked first: a child that ends in between has written its last event by then
        status = self._follower.read()
        if status.ended:
            return status
        if not alive:
            return after(status, self._died())
        asked = next((state for sign, state in SIGNS.items() if (self.folder / sign).exists()), status.state)
        return replace(status, state=asked)

    def wait(self, pause: float = 0.25) -> Iterator[events.Event]:
        """Every event of its latest start, as they come, to the last one; a child that died ends in a Failed."""
        follower = Follower(self.folder / "events.jsonl")
        while True:
            alive = self.lives()
            new = follower.new_events()
            starts = [n for n, event in enumerate(new) if isinstance(event, events.Resumed)]
            yield from new[starts[-1] + 1 :] if starts else new
            if follower.status.ended:
                return
            if not alive:
                yield self._died()
                return
            time.sleep(pause)

    def follow(self, say: Callable[[events.Event], None]) -> RunStatus:
        """Tell `say` every event until the end. Ctrl-C stops the run properly, and it is followed on to its end."""
        try:
            for event in self.wait():
                say(event)
        except KeyboardInterrupt:
            self.stop()
            say(events.Note("Stopping: what was learnt is being saved."))
            for _ in self.wait():
                pass
        return self.status()

    def lives(self) -> bool:
        """Whether its child is there, or may still be about to come."""
        known = self.child()
        return process.lives(known) if known else time.time() - self.folder.stat().st_mtime < STARTING

    def checkpoint(self) -> Path | None:
        """The folder of the newest state it can go on from."""
        whole = sorted(self.folder.glob("checkpoints/ckpt-*[0-9]/MANIFEST.json"))
        return whole[-1].parent if whole else None

    def is_as_ordered(self) -> bool:
        """Whether its order is still what its latest child was started with."""
        said = files.read_json(self.folder / "child.json")
        return not isinstance(said, dict) or said.get("job") in (None, files.sha256(self.folder / "job.json"))

    def child(self) -> Any:
        """What tells its latest child from other processes, as `process.lives` takes it; None where there is none."""
        return files.read_json(self.folder / "alive") or files.read_json(self.folder / "child.json")

    def _died(self) -> events.Failed:
        """Why its child ended without a last word; only what is sure is named as cause."""
        noted = files.read_json(self.folder / "child.json")
        started = noted if isinstance(noted, dict) else {}
        since = started.get("log")
        said = process.cause(self.log, since if isinstance(since, int) else 0)
        if process.killed_for_memory(started):
            said = process.TOO_LITTLE_MEMORY
        return events.Failed(*said, cause="memory" if said == process.TOO_LITTLE_MEMORY else "")
