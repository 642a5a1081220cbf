"""The child process: a job in, events out as JSON lines. `python -m lora_gui.worker train <run folder>` or `... draw`.

What stands on its standard output is events and nothing else: that output is taken before any library can print.
"""

from __future__ import annotations

import errno
import json
import os
import queue
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import IO

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.protocol import events
from lora_gui.protocol.jobs import ConvertJob, DrawJob, PlanJob, TrainJob

_BEAT = 2.0  # seconds between two signs of life
_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "DIFFUSERS_DISABLE_REMOTE_CODE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "DIFFUSERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that wait by spinning take the processor from the window
}


class EventWriter:
    """The real standard output; whatever a library prints goes to the log instead."""

    def __init__(self) -> None:
        self._out: IO[bytes] = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)
        self._lock = threading.Lock()
        self._mend = b""  # a line break, where half a line was written
        self.order = ""  # the drawing order being worked on

    def say(self, event: events.Event) -> None:
        """Write one line. On a full disk it is lost: what is being learnt is worth more than what is said of it."""
        with self._lock:
            line = self._mend + events.to_line(event).encode("utf-8") + b"\n"
            try:
                whole = self._out.write(line) == len(line)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                whole = False
            self._mend = b"" if whole else b"\n"


def main(arguments: list[str]) -> int:
    """Do the job; the exit code is 0 where the last event is Done or Stopped."""
    writer = EventWriter()
    os.environ.update(_ENVIRONMENT)
    try:
        if arguments[:1] == ["draw"]:
            _draw(writer, sys.stdin.buffer)
        elif arguments[:1] == ["convert"]:
            _convert(writer, sys.stdin.buffer)
        elif arguments[:1] == ["plan"]:
            _plan(writer, sys.stdin.buffer)
        else:
            _train(writer, Path(arguments[1]))
    except UserError as error:
        writer.say(events.Failed(error.what, error.remedy, writer.order, error.cause))
        return 1
    except Exception as error:  # noqa: BLE001  the only one: nobody else would tell the user
        traceback.print_exc()
        what, remedy, cause = in_plain_words(error)
        writer.say(events.Failed(what, remedy, writer.order, cause))
        return 1
    return 0


def in_plain_words(error: Exception) -> tuple[str, str, str]:
    """What went wrong, what to do, and what was cause, for an error that nobody foresaw."""
    text = f"{type(error).__name__}: {error}".lower()
    if isinstance(error, MemoryError) or "out of memory" in text or "not enough memory" in text or "allocate" in text:
        return (
            "This computer ran out of memory.",
            "Close other programs, or choose a smaller resolution, batch size or size of drawing.",
            "memory",
        )
    if isinstance(error, OSError) and error.filename:
        name = Path(error.filename).name
        return f"{name} could not be read.", "Check that it is there and whole, then try again.", ""
    return "Something went wrong that was not foreseen.", "Open the log to see what; trying again may help.", ""


def _train(writer: EventWriter, folder: Path) -> None:
    kept = 0  # the step that the next start would go on from
    try:
        _beat(folder)
        job = TrainJob.model_validate_json((folder / "job.json").read_text(encoding="utf-8"))
        from lora_gui.families import family

        kind = family(job.base.family)  # torch is imported only once this is known
        from wakepy import keep

        from lora_gui.engine.train.loop import train

        with keep.running(on_fail="pass"):  # the computer stays awake where its system lets itself be asked
            for event in train(job, folder, kind):
                kept = event.step if isinstance(event, events.Saved) else getattr(event, "first_step", kept)
                writer.say(event)
    except files.DiskFullError as error:
        writer.say(events.Paused(kept, error.what, error.remedy))


def _beat(folder: Path) -> None:
    """Show that this process lives: a file with its id, renewed by a thread until the process ends."""
    import psutil

    sign = folder / "alive"
    files.write_json(sign, {"pid": os.getpid(), "started": psutil.Process().create_time()})

    def renew() -> None:
        while True:
            time.sleep(_BEAT)
            files.touch(sign)

    threading.Thread(target=renew, daemon=True).start()


def _draw(writer: EventWriter, orders: IO[bytes]) -> None:
    """Work off orders until the input ends; a thread reads on meanwhile, so that an order can be cancelled."""
    waiting: queue.SimpleQueue[DrawJob | None] = queue.SimpleQueue()
    cancelled: set[str] = set()
    threading.Thread(target=_listen, args=(orders, waiting, cancelled), daemon=True).start()
    from lora_gui.engine.draw.drawer import Drawer

    drawer = Drawer()
    while job := waiting.get():
        writer.order = job.id
        try:
            for event in drawer.draw(job, writer.say, lambda: writer.order in cancelled):
                writer.say(event)
        except UserError as error:
            writer.say(events.Failed(error.what, error.remedy, job.id))


def _convert(writer: EventWriter, order: IO[bytes]) -> None:
    from lora_gui.engine.convert import convert

    for event in convert(ConvertJob.model_validate_json(order.readline())):
        writer.say(event)


def _plan(writer: EventWriter, questions: IO[bytes]) -> None:
    """Answer each line, a training that is thought of, with what it needs of memory."""
    from lora_gui.engine.memory.plan import plan
    from lora_gui.families import family

    for line in questions:
        job = PlanJob.model_validate_json(line)
        writer.say(events.Planned(plan(job, family(job.base.family)).to_json()))


def _listen(orders: IO[bytes], waiting: queue.SimpleQueue[DrawJob | None], cancelled: set[str]) -> None:
    for line in orders:
        order = json.loads(line)
        if "cancel" in order:
            cancelled.add(order["cancel"])
        else:
            waiting.put(DrawJob.model_validate(order["draw"]))
    waiting.put(None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
