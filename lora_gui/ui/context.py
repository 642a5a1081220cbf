"""What the tabs share: the studio, the one that draws, the drafts, who looks when, and the runs that are followed."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from lora_gui.errors import UserError
from lora_gui.protocol.task_folder import ASKS
from lora_gui.studio.insight.at_work import AtWork
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import queue
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.studio.tasks.run import queued
from lora_gui.studio.tasks.runs import Run, all_runs
from lora_gui.ui.draft import Drafts, TrainDraft
from lora_gui.ui.live import Live, Standing
from lora_gui.ui.widgets.handlers import Changes

OVERDUE = 10.0  # seconds
LINGERS = 3.0  # seconds that are looked on after the last thing that was seen to go on: how it ended is to be seen, too


@dataclass
class Context:
    """Made inside the layout, once for the whole window; no page has a state of its own on the server."""

    studio: Studio
    drawer: Drawer
    tabs: gr.Tabs = field(init=False)
    drafts: Drafts = field(init=False)
    insight: AtWork = field(init=False)  # the report of a run that is being made
    live: Live = field(default_factory=Live)
    to_setup: Callable[[], Changes] = dict  # shows the form of Train in place of a run
    setup: list[Any] = field(default_factory=list)  # the components that changes
    waits: list[Callable[[], bool]] = field(default_factory=list)  # whether anything else goes on that is looked at
    to_lora: Callable[[str], Changes] = lambda path: {}  # opens the LoRA at a path in the library; empty: all of them
    library: list[Any] = field(default_factory=list)  # the components that changes
    to_run: Callable[[str], Changes] = lambda name: {}  # opens a run in Runs
    past_run: list[Any] = field(default_factory=list)  # the components that changes
    last: list[Callable[[], None]] = field(default_factory=list)  # connects what leads to a tab that is built later
    _runs: dict[str, Run] = field(default_factory=dict)
    _stirred: float = -1e9  # when; seconds
    _ending: dict[str, float] = field(default_factory=dict)  # runs that were asked to end, and since when; seconds

    def __post_init__(self) -> None:
        self.drafts = Drafts(self.studio)
        self.insight = AtWork(self.studio, self.drawer)
        self.waits += [lambda: self.insight.standing.goes_on, lambda: queue.stirs(self.studio)]

    def run(self, name: str) -> Run:
        """The run in the folder `name`; kept, because it reads its events from where it stopped reading."""
        if name not in self._runs:
            self._runs[name] = Run(self.studio.runs / Path(name).name)
        return self._runs[name]

    def is_overdue(self, name: str, state: str) -> bool:
        """Whether the run in the folder `name` was asked to end for so long that ending it by force is offered."""
        if state not in ASKS.values():
            self._ending.pop(name, None)
            return False
        return time.monotonic() - self._ending.setdefault(name, time.monotonic()) > OVERDUE

    def over_to_train(self, draft: TrainDraft) -> Changes:
        """The tab Train with its form, which shows `draft` at the next look; for outputs [tabs, *setup]."""
        if problem := self.drafts.train.change(lambda _: draft):
            raise problem
        return {self.tabs: gr.update(selected="train")} | self.to_setup()

    def newest_run(self) -> str:
        """The folder name of the newest run whose turn has come; empty where there is none."""
        wait = set(queued(self.studio.runs))
        return next((run.folder.name for run in all_runs(self.studio) if run.folder.name not in wait), "")

    def running(self) -> str:
        """The folder name of the run that is going on; empty where none is."""
        return next((run.folder.name for run in all_runs(self.studio) if self._goes_on(run)), "")

    def give_way(self) -> None:
        """To a training that was let in and has the computer for itself: drawings end, and a held queue goes on."""
        self.drawer.release()
        queue.hold(self.studio, False)
        queue.advance(self.studio)

    def standing(self) -> Standing:
        """What lives at the moment; where nothing does, how the newest run ended."""
        if any(one() for one in self.waits):
            self.stir()
        name, waits = self.running() or self.newest_run(), time.monotonic() - self._stirred < LINGERS
        if not name:
            return Standing(draws=self.draws(), waits=waits)
        return Standing(self.title(name), self.run(name).status(), self.draws(), waits)

    def stir(self) -> None:
        """Something of what is waited for was seen to go on; it is looked at for a moment longer."""
        self._stirred = time.monotonic()

    def title(self, name: str) -> str:
        """What the run in the folder `name` is called."""
        try:
            return self.run(name).job.name
        except UserError:
            return name

    def draws(self) -> bool:
        """Whether orders of drawings are being worked off."""
        return bool(self.drawer.waiting())

    def _goes_on(self, run: Run) -> bool:
        return run.lives() and not self.run(run.folder.name).status().ended
