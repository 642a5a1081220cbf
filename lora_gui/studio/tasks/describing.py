"""Pictures that are being described, or a captioner that is being fetched: one at a time, looked at, given up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lora_gui.errors import UserError
from lora_gui.formats.captioners import KNOWN, Captioner
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import captioning, download_words, downloads
from lora_gui.studio.things import goals
from lora_gui.studio.things.pictures import Picture, PictureSet

_ALREADY = UserError("This is being done already.", "Wait until it is done, or cancel it.")
Say = captioning.Say


class _GivenUpError(Exception):
    """It is not wanted any more."""


@dataclass
class Work:
    """What goes on, or went on last: `folder` is that of the set, empty for a download.

    `doing` says how far it is, and is empty once it has ended; `notes` are sentences about what came of it.
    """

    folder: str = ""
    pictures: Sequence[Picture] = ()
    doing: str = ""
    said: dict[int, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problem: UserError | None = None

    @property
    def goes_on(self) -> bool:
        return bool(self.doing)

    @property
    def texts(self) -> dict[str, tuple[str, str]]:
        """By the picture's file, what its caption was when it was looked at, and what was said of it."""
        return {self.pictures[at].path.name: (self.pictures[at].caption, text) for at, text in dict(self.said).items()}


class Describing:
    """What was said last is kept until the next is asked for, or this program ends."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._lock, self._given_up = threading.Lock(), threading.Event()
        self.now = Work()

    def describe(self, found: PictureSet, by: Captioner, goal: str, question: str, also: bool, slow: bool) -> None:
        """Begin to describe the pictures without a caption, or all; `slow` is with the processor.

        Raises UserError where there is nothing to describe, or something goes on.
        """
        work = Work(found.folder.name, _wanted(found, also))
        job = captioning.job_of(by, [one.path for one in work.pictures], goal, question, slow)

        def act(say: Say) -> None:
            work.notes += captioning.describe(self._studio, job, work.said, say)

        self._begin(work, act)

    def take_names(self, found: PictureSet, also: bool) -> None:
        """What the names of the files say. Raises UserError as `describe`."""
        work = Work(found.folder.name, _wanted(found, also))
        work.said = {at: goals.of_file_name(one.label) for at, one in enumerate(work.pictures)}
        with self._lock:
            if self.now.goes_on:
                raise _ALREADY
            self.now = work

    def fetch(self, key: str) -> None:
        """Begin to download a known captioner, or go on with it. Raises UserError where something goes on."""
        work = Work()

        def act(say: Say) -> None:
            download = downloads.start_captioner(self._studio, key)
            try:
                for status in download.wait():
                    share = f", {status.done * 100 // status.of} %" if status.of else ""
                    say(f"{KNOWN[key].title}: {download_words.progress(status)}{share}")
            except _GivenUpError:
                download.pause()
                raise
            if status.state != "finished":
                raise UserError(status.what or "The download has ended.", status.remedy or "Go on with it.")
            work.notes.append(f"{KNOWN[key].title} is on this computer now.")

        self._begin(work, act)

    def cancel(self) -> None:
        """Give up what goes on; what was said, and what has come, stays."""
        self._given_up.set()

    def forget(self, files: Sequence[str]) -> None:
        """Suggest nothing for these pictures any more."""
        work = self.now
        for at in [at for at, one in enumerate(work.pictures) if one.path.name in files]:
            work.said.pop(at, None)

    def _begin(self, work: Work, act: Callable[[Say], None]) -> None:
        with self._lock:
            if self.now.goes_on:
                raise _ALREADY
            work.doing, self.now = "Beginning", work
            self._given_up.clear()
        threading.Thread(target=self._run, args=(work, act), daemon=True).start()

    def _run(self, work: Work, act: Callable[[Say], None]) -> None:
        def say(words: str) -> None:
            if self._given_up.is_set():
                raise _GivenUpError
            work.doing = words or work.doing

        try:
            act(say)
        except UserError as error:
            work.problem = error
        except _GivenUpError:
            came = f"{len(work.said)} of {len(work.pictures)} pictures were described by then."
            work.notes.append(f"Cancelled; {came if work.folder else 'what has come of it stays.'}")
        finally:
            work.doing = ""


def _wanted(found: PictureSet, also: bool) -> list[Picture]:
    wanted = [one for one in found.pictures if also or not one.caption]
    if not wanted:
        raise UserError("Every picture has a caption.", "Tick that those are described, too.")
    return wanted
