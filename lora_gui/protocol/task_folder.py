"""A task is a folder, and the folder is the protocol: every name in it stands here, once.

Paths in it are relative to the studio, so that a studio can be moved or copied with all its runs. Version 0 had
absolute paths; they are read where the studio is now. Whoever reads ignores what it does not know.
"""

import json
import os
import uuid
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePath, PurePosixPath
from typing import IO, Any

from pydantic import ValidationError

import lora_gui
from lora_gui import files
from lora_gui.drive import Named
from lora_gui.errors import UserError
from lora_gui.protocol.events import Last, Resumed, from_fields, relocated, to_line
from lora_gui.protocol.jobs import TrainJob
from lora_gui.protocol.lock import is_held
from lora_gui.protocol.whereabouts import machine

VERSION = 1
ASKS = {"stop": "stopping", "pause": "pausing"}  # files by which a task is asked, and how it stands meanwhile
ADAPTER, MANIFEST = "adapter.safetensors", "MANIFEST.json"  # in the folder of a checkpoint
LAST = "learning.safetensors"  # likewise: the last weights, where the adapter is an average of them
BEGIN = "begin"  # folder in a task's that holds the LoRA it begins with
PEFT_WEIGHTS, PEFT_SETTINGS = "adapter_model.safetensors", "adapter_config.json"  # as peft calls them in a folder
RUNS, DOWNLOADS = "runs", "downloads"  # folders of the studio that hold tasks
_APP = Path(lora_gui.__file__).parent
_IN_APP = "app:"  # begins a path within the program's own folder
_HOMES = ("pictures", "bases", "loras", "cache", RUNS)  # folders of a studio that jobs name files in
_RESULT_LIMIT, _JOB_LIMIT = 1_000_000, 50_000_000  # bytes


def is_lora_alone(checkpoint: Path) -> bool:
    """Whether nothing else is kept of an earlier step, so that no run can go on from it."""
    manifest = files.read_json(checkpoint / MANIFEST)
    return isinstance(manifest, dict) and manifest.keys() == {ADAPTER}


@dataclass(frozen=True)
class Reached:
    """How far a start came: the step it went on from, the last one it made, and how many there were to be."""

    first: int
    step: int
    of: int


@dataclass(frozen=True)
class TaskFolder:
    """The folder of one task."""

    path: Path
    job = Named("job.json")
    events = Named("events.jsonl")
    log = Named("log.txt")
    result = Named("result.json")  # how its latest start ended, in short; written last
    started = Named("child.json")  # what the parent noted when it started the latest child
    lock = Named("task.lock")  # held by the child as long as it lives
    beat = Named("beat.json")  # a number that the living child raises, and its process id; one that stands still hangs
    seen = Named("seen")  # there once its end was looked at and put away
    samples = Named("samples")
    insight = Named("insight")  # what was drawn of it once it had learnt, and what that says of it
    checkpoints = Named("checkpoints")

    @property
    def studio(self) -> Path:
        """The studio it lies in; a folder outside of one is its own."""
        home = self.path.absolute()
        return home.parent.parent if home.parent.name in (RUNS, DOWNLOADS) else home

    def beginning(self, job: TrainJob) -> Path | None:
        """Where the LoRA lies that a job begins with: its copy in this folder; None where it begins anew."""
        name = PurePath(job.begin_from.replace("\\", "/")).name
        return self.path / BEGIN / name if name else None

    def checkpoint(self, step: int) -> Path:
        return self.checkpoints / f"ckpt-{step:06}"

    def newest_checkpoint(self) -> Path | None:
        """The folder of the newest state that has a manifest; whether it is whole is for the engine to say."""
        there = sorted((one.parent for one in self.checkpoints.glob(f"ckpt-*[0-9]/{MANIFEST}")), reverse=True)
        return next((one for one in there if not is_lora_alone(one)), None)

    def reached(self) -> int:
        """The step of the newest checkpoint; 0 where there is none."""
        newest = self.newest_checkpoint()
        return step_of(newest) if newest else 0

    def ask(self, what: str) -> None:
        """Ask the task to `stop` or `pause`."""
        files.touch(self.path / what)

    def asked(self) -> str:
        """What is asked of it: `stop`, `pause` or nothing; also nothing while the drive does not answer."""
        return next((what for what in ASKS if os.path.exists(self.path / what)), "")

    def lives(self) -> bool:
        """Whether a child works in it."""
        return is_held(self.lock)

    def clear(self) -> None:
        """Take away what was said of and to the latest start, before the next."""
        for path in (*(self.path / what for what in ASKS), self.result, self.beat, self.seen, self.started):
            files.remove(path)

    def read_job(self) -> TrainJob:
        """What was ordered, with absolute paths. Whatever it says, it writes into this studio's own folders only.

        Raises UserError if damaged.
        """
        try:
            job = TrainJob.model_validate_json(files.read_small(self.job, _JOB_LIMIT))
        except (OSError, ValidationError, RecursionError) as error:
            raise UserError(f"The run {self.path.name} is damaged.", "Start a new one.") from error
        studio = self.studio
        inside = {name: str(studio / home) for name, home in _WRITTEN.items()}
        base = job.base.moved(lambda path: located(path, studio))
        pictures = tuple(one.model_copy(update={"path": located(one.path, studio)}) for one in job.pictures)
        begin = {"begin_from": str(self.beginning(job) or "")}
        return job.model_copy(update={"base": base, "pictures": pictures, **begin, **inside})

    def write_job(self, job: TrainJob) -> None:
        """Write the order with its paths as they stand in a folder, and copy the LoRA that it begins with and what peft
        says of it; leaves an equal file as it is."""
        studio = self.studio
        begin = self.beginning(job)
        if begin and not begin.is_file() and os.path.isfile(job.begin_from):
            beside = Path(job.begin_from).with_name(PEFT_SETTINGS)
            if begin.name == PEFT_WEIGHTS and beside.is_file():
                files.copy(beside, begin.with_name(PEFT_SETTINGS))
            files.copy(Path(job.begin_from), begin)
        base = job.base.moved(lambda path: placed(path, studio))
        pictures = tuple(one.model_copy(update={"path": placed(one.path, studio)}) for one in job.pictures)
        written = {name: placed(getattr(job, name), studio) for name in _WRITTEN}
        written["begin_from"] = placed(str(begin or ""), studio)
        job = job.model_copy(update={"version": VERSION, "base": base, "pictures": pictures, **written})
        text = job.model_dump_json(indent=1)
        if not self.job.is_file() or self.job.read_text(encoding="utf-8") != text:
            files.write_text(self.job, text)

    def read_started(self) -> dict[str, Any]:
        """What the parent noted when it started the latest child; nothing where it was never started."""
        said = files.read_json(self.started)
        return said if isinstance(said, dict) else {}

    def start_note(self) -> dict[str, Any]:
        """What is noted of a start: what tells it from others, the order as it is now, and on which computer it is."""
        return {"start": uuid.uuid4().hex, "job": files.sha256(self.job), "machine": machine()}

    def begin_by_hand(self) -> IO[bytes]:
        """Begin a start that no parent has begun; the stream that its events go to."""
        self.clear()
        if self.job.is_file():
            files.write_json(self.started, self.start_note() | {"in": True, "pid": os.getpid()})
        if self.events.is_file():
            files.append_line(self.events, to_line(Resumed()))
        return files.open_stream(self.events)

    def write_result(self, last: Last, result: "Reached") -> None:
        """Say in short how this start ended: with which last event, and how far it came."""
        said = json.loads(to_line(relocated(last, lambda path: placed(path, self.studio))))
        start = self.read_started().get("start", "")
        files.write_json(self.result, {"version": VERSION, "start": start, "last": said} | asdict(result))

    def read_result(self) -> "tuple[Last, Reached] | None":
        """What `write_result` said of the latest start; None where there is nothing or it is of an earlier one."""
        try:
            said = json.loads(files.read_small(self.result, _RESULT_LIMIT))
            same = said["start"] == self.read_started().get("start", "")
            last = from_fields(said["last"])
            reached = Reached(*(int(said[field.name]) for field in fields(Reached)))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            return None
        if not same or not isinstance(last, Last):
            return None
        return relocated(last, lambda path: located(path, self.studio)), reached


class BROUGHT:
    """What lies in the folder of a task that has brought a LoRA."""

    lora, about = "lora.safetensors", "about.json"
    picture = "preview"  # as a stranger made it


ORIGIN = ".origin.json"  # in the folder of a base that the app has downloaded: where its files came from


def unfinished(target: Path) -> Path:
    """The folder that becomes `target` once it is whole; nobody takes it for what it is to become."""
    return target.with_name(f".{target.name}.download")


def step_of(checkpoint: Path) -> int:
    """The step that the folder of a checkpoint is named after."""
    return int(checkpoint.name.rpartition("-")[2])


_WRITTEN = {"publish_to": "loras", "cache": "cache"}  # fields of a job that name folders it writes into


def placed(path: str, studio: Path) -> str:
    """A path as it stands in a task's folder: relative within the studio or the program, else absolute."""
    given = Path(path)
    if not path or not given.is_absolute():
        return path
    for home, mark in ((studio, ""), (_APP, _IN_APP)):
        if given.is_relative_to(home):
            return mark + given.relative_to(home).as_posix()
    if given.is_relative_to(studio.resolve()):
        return given.relative_to(studio.resolve()).as_posix()
    return path


def located(path: str, studio: Path) -> str:
    """The absolute path of what `placed` wrote; one of another place is sought in this studio and this program."""
    if not path:
        return path
    if path.startswith(_IN_APP):
        return str(_APP / path.removeprefix(_IN_APP))
    if not _is_absolute(path):
        return str(studio / path)
    if os.path.exists(path):  # not of Path, which raises for names that no disk takes
        return path
    parts = _parts(path)
    for home in _HOMES:
        if home in parts:
            moved = studio.joinpath(*parts[len(parts) - 1 - parts[::-1].index(home) :])
            if os.path.exists(moved):
                return str(moved)
    if _APP.name in parts:  # the program was moved
        moved = _APP.joinpath(*parts[len(parts) - parts[::-1].index(_APP.name) :])
        return str(moved) if os.path.exists(moved) else path
    return path


def _is_absolute(path: str) -> bool:
    return Path(path).is_absolute() or PurePosixPath(path).is_absolute() or path[1:2] == ":"


def _parts(path: str) -> tuple[str, ...]:
    """The parts of a path of this or another system."""
    return PurePath(path).parts if "\\" not in path else tuple(part for part in path.split("\\") if part)
