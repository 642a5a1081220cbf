"""What the child does that fetches: it heeds a pause or a stop at any moment, since all it has is on the disk."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from pydantic import ValidationError

from lora_gui import drive, files
from lora_gui.errors import UserError
from lora_gui.net import hub
from lora_gui.net.bring import bring as brought
from lora_gui.net.download import download as fetched
from lora_gui.net.upload import upload as uploaded
from lora_gui.protocol import events
from lora_gui.protocol.jobs import BringJob, DownloadJob, UploadJob
from lora_gui.protocol.task_folder import TaskFolder, located
from lora_gui.protocol.writer import EventWriter

LOOK = 0.2  # seconds between two looks at what is asked
_LIMIT = 100_000  # bytes of an order
_LONGEST = 1000  # characters of a token
J = TypeVar("J", DownloadJob, BringJob)


def download(task: TaskFolder | None, writer: EventWriter) -> None:
    """Fetch the base that is ordered in the folder of a task."""
    assert task is not None
    job = _job(task, DownloadJob)
    _follow(fetched(job.model_copy(update={"into": located(job.into, task.studio)})), task, writer)


def bring(task: TaskFolder | None, writer: EventWriter) -> None:
    """Fetch the LoRA that is ordered in the folder of a task, into that folder."""
    assert task is not None
    _follow(brought(_job(task, BringJob), task.path), task, writer)


def _follow(work: Iterator[events.Event], task: TaskFolder, writer: EventWriter) -> None:
    """Say how it goes; a full disk is a pause."""
    threading.Thread(target=_heed, args=(task, writer), daemon=True).start()
    try:
        from wakepy import keep

        with keep.running(on_fail="pass"):  # the computer stays awake where its system lets itself be asked
            for event in work:
                writer.say(event)
    except (UserError, OSError) as error:
        if not drive.is_full(error):
            raise
        what = (error.what, error.remedy) if isinstance(error, drive.DiskFullError) else drive.FULL
        writer.say(events.Paused(0, *what))


def sign_in(_: TaskFolder | None, writer: EventWriter) -> None:
    """Have huggingface_hub keep the token on the input, which stands in no file of ours; whose it is is said."""
    text = sys.stdin.buffer.readline(_LONGEST + 2).decode("utf-8", "replace").strip()
    if not text or len(text) > _LONGEST or not text.isascii() or not text.isprintable():
        raise UserError("This is no token.", "Copy the whole line that the Hub shows, which begins with hf_.")
    hub.require_way_out()
    writer.say(events.Note(hub.sign_in(text)))


def upload(_: TaskFolder | None, writer: EventWriter) -> None:
    """Publish the files of the job on the input."""
    for event in uploaded(UploadJob.model_validate_json(sys.stdin.buffer.readline())):
        writer.say(event)


def _job(task: TaskFolder, kind: type[J]) -> J:
    try:
        return kind.model_validate_json(files.read_small(task.job, _LIMIT))
    except (OSError, ValidationError) as error:
        raise UserError(f"The download {task.path.name} is damaged.", "Start it anew.") from error


def _heed(task: TaskFolder, writer: EventWriter) -> None:
    """End this process as soon as that is asked."""
    while not (asked := task.asked()):
        time.sleep(LOOK)
    writer.say(events.Stopped() if asked == "stop" else events.Paused(0))
    os._exit(0)


# By their names in `environment.ONLINE`; each is given its task, where it has one, and who tells of it.
COMMANDS: dict[str, Callable[[TaskFolder | None, EventWriter], None]] = {
    "download": download,
    "bring": bring,
    "sign_in": sign_in,
    "upload": upload,
}
