"""A run as it is seen: built from its folder alone, so that a refreshed page or a second window shows the same."""

import contextlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.protocol.task_folder import ASKS
from lora_gui.studio.tasks import keeping, queue, retries, runs
from lora_gui.studio.tasks.diagnostics import report
from lora_gui.studio.tasks.runs import Run
from lora_gui.studio.tasks.status import RunStatus
from lora_gui.studio.things import loras
from lora_gui.ui.context import Context
from lora_gui.ui.draft import with_lora
from lora_gui.ui.library.contract_form import ContractForm
from lora_gui.ui.live import in_words
from lora_gui.ui.train import run_words
from lora_gui.ui.train.insight_view import InsightView
from lora_gui.ui.widgets import markup
from lora_gui.ui.widgets.handlers import HIDDEN, Changes, noticed, while_kept
from lora_gui.ui.widgets.parts import html
from lora_gui.ui.widgets.plot import learning_plot, loss_plot
from lora_gui.ui.widgets.thumbnails import Thumbnails

ENDING = tuple(ASKS.values())
COPY = """
element.addEventListener('click', event => {
  const button = event.target.closest('[data-copy]');
  if (!button) return;
  navigator.clipboard.writeText(element.querySelector('pre').textContent).then(() => button.textContent = 'Copied');
});
"""
Page = dict[str, Any]  # what one page shows: the "run", what of it was "seen", and the run it went "away" from


class Aside:
    """A line about the run that goes on while something else is asked. Lays itself out where it is made."""

    def __init__(self) -> None:
        with gr.Row(visible=False, elem_classes="aside", elem_id="aside") as self.row:
            self.words = html()
            self.back = gr.Button("Show it", size="sm", scale=0, min_width=100, elem_id="show-run")

    def says(self, words: str) -> Changes:
        return {self.words: words, self.row: gr.update(visible=bool(words))}


class RunView:
    """Lays itself out where it is made, and takes the place of `setup` while there is a run to look at.

    One with an `aside` shows the run that is going on by itself, and the newest one to a page that was just opened.
    """

    def __init__(
        self, context: Context, setup: tuple[gr.Column, ...], aside: Aside | None = None, key: str = ""
    ) -> None:
        self._context, self._setup, self._aside, self._key = context, setup, aside, key
        self.page = gr.JSON({}, visible=False)
        with gr.Column(visible=False, elem_id=f"{key}run", elem_classes="run") as self._panel:
            with gr.Row(elem_classes="run-head"):
                self._head = html()
                self._prepare = self._button("Prepare another", "prepare", 150)
                self._pause = self._button("Pause", "pause", 110)
                self._stop = self._button("Stop", "stop", 110)
            self._state = html(elem_id=f"{key}run-state", elem_classes="run-state")
            self._insight = InsightView(context, key)
            with gr.Row(elem_classes="after"):
                self._resume = self._button("Resume", "resume", 170)
                self._draw = self._button("Draw with it", "draw-with", 180)
                self._shelf = self._button("Open in Library", "to-library", 170)
                self.another = self._button("Train another", "another", 170)
            self._insight.below()
            with gr.Row(elem_classes="progress"):
                self._samples = html(elem_id=f"{key}samples")
                self._plot = html(elem_id=f"{key}plot")
            self._card = ContractForm(context, key)
            self._notes = html()
            self._report = html(js_on_load=COPY, elem_id=f"{key}report")
        buttons = [self._prepare, self._pause, self._stop, self._resume, self._draw, self._shelf, self.another]
        shown = [self._state, self._head, self._samples, self._plot, self._notes, self._report]
        beside = [aside.row, aside.words] if aside else []
        own = [*self._card.outputs, *self._insight.outputs]
        self.outputs = [*setup, *beside, self._panel, *buttons, *shown, self.page, *own]

    def _button(self, words: str, name: str, width: int) -> gr.Button:
        return gr.Button(words, scale=0, min_width=width, elem_id=f"{self._key}{name}")

    def connect(self) -> None:
        live = self._context.live
        live.watch(self._look, [self.page], self.outputs)
        self._card.connect()
        self._insight.connect(self.page, self.show, self.outputs)
        heading = f"#{self._key}run .run-name"
        acts: tuple[tuple[gr.Button, Callable[..., Changes]], ...] = (
            (self._pause, self._paused),
            (self._stop, self._stopped),
            (self._resume, self._resumed),
        )
        for button, act in acts:
            live.after(button.click(noticed(self._state, act), [self.page], self.outputs, **HIDDEN), heading)
        for button in (self._prepare, self.another):
            away = button.click(self._put_away, [self.page], self.outputs, **HIDDEN)
            live.after(away, ".zone-ways button", "#trigger input", "#runs-list button")
        if self._aside:
            back = self._aside.back.click(lambda page: self.show(page["away"]), [self.page], self.outputs, **HIDDEN)
            live.after(back, heading)
        self._context.last.append(self._connect_shelf)
        drawn = while_kept(self._state, self._draw_with, lambda page: not self._context.run(page["run"]).status().lora)
        live.after(
            self._draw.click(drawn, [self.page], [self._context.tabs, self._state], **HIDDEN), "#prompt textarea"
        )

    def _connect_shelf(self) -> None:
        """Once the library is laid out: there its LoRA is renamed, downloaded, and shown in its folder."""
        opened = noticed(self._state, lambda page: self._context.to_lora(self._context.run(page["run"]).status().lora))
        outputs = [self._state, *self._context.library]
        self._context.live.after(self._shelf.click(opened, [self.page], outputs, **HIDDEN), "#lora .run-name")

    def show(self, name: str) -> Changes:
        """Everything there is to see of a run."""
        return self._changes(name, self._context.run(name).status(), None)

    def _changes(self, name: str, status: RunStatus, seen: "_Mark | None") -> Changes:
        """What to show of a run, less what was seen already."""
        now = self._marked(name, status)
        page = {"run": name, "seen": asdict(now)}
        changes: Changes = {self._state: run_words.progress(status), self.page: page}
        if seen is None or (seen.state, seen.overdue) != (now.state, now.overdue):
            changes |= self._framed(self._context.run(name), status, now.overdue)
        turned = seen is None or seen.state != now.state  # then what is still to come may come no more
        if seen is None or seen.samples != now.samples or (turned and not now.samples):
            address = Thumbnails(self._context.studio)
            shown = markup.sample_grid(status.samples, address, status.ended) + run_words.early(status)
            changes[self._samples] = shown + address.remark()
        if seen is None or (seen.losses, seen.measured) != (now.losses, now.measured) or (turned and now.losses < 2):
            plot = loss_plot(status.losses, status.of, status.ended)
            changes[self._plot] = plot + learning_plot(status.measured, status.of)
        if seen is None or (seen.state, seen.notes) != (now.state, now.notes):
            learnt = (
                run_words.learnt(self._context.studio, self._context.run(name), status) if status.ended else ()
            )
            changes[self._notes] = markup.sentences("Worth knowing", (*status.notes, *learnt))
        return changes

    def _marked(self, name: str, status: RunStatus) -> "_Mark":
        return _Mark.of(status, self._context.is_overdue(name, status.state))

    def _framed(self, run: Run, status: RunStatus, overdue: bool) -> Changes:
        """What depends on the state alone: which parts are there."""
        lora, ends = bool(status.lora), status.state not in ENDING
        go_on, kept = run_words.go_on(run, status), status.resumable and run.checkpoint()
        return dict.fromkeys(self._setup, gr.update(visible=False)) | {
            self._panel: gr.update(visible=True),
            self._head: run_words.head(self._context.studio, run),
            self._prepare: gr.update(visible=bool(self._aside) and not status.ended),
            self._pause: gr.update(visible=not status.ended, interactive=ends),
            self._stop: gr.update(
                value="End it now" if overdue else "Stop",
                visible=not status.ended or bool(status.state == "paused" and kept),
                interactive=ends or overdue,
            ),
            self._resume: gr.update(
                value=go_on,
                variant="secondary" if lora else "primary",
                visible=status.ended or status.state == "elsewhere",
            ),
            self._shelf: gr.update(visible=lora and Path(status.lora).is_file()),
            self._draw: gr.update(visible=bool(lora or kept), variant="primary" if lora else "secondary"),
            self._report: markup.report(report(run)) if status.state == "failed" else "",
            self.another: gr.update(value=self._way_back(status), visible=status.ended or not self._aside),
        } | self._beside("") | self._card.shown(status.lora) | self._insight.changes(run, status)

    def _beside(self, words: str) -> Changes:
        return self._aside.says(words) if self._aside else {}

    def _way_back(self, status: RunStatus) -> str:
        if self._aside is None:
            return "All runs"
        return "Train another" if status.lora else "Back"

    def _look(self, page: Page) -> Changes:
        """What has changed since the last look; mostly nothing."""
        name = (page or {}).get("run", "")
        if not name:
            return self._looked_aside(page or {}) if self._aside else {}
        if not (self._context.studio.runs / Path(name).name).is_dir():  # deleted
            return self.away()
        status = self._context.run(name).status()
        seen = _Mark(**page["seen"])
        return {} if seen == self._marked(name, status) else self._changes(name, status, seen)

    def _looked_aside(self, page: Page) -> Changes:
        """For a page that shows no run: another that is going on, or how the one stands that it went away from."""
        if found := self._opened(page):
            return found
        name = page.get("away", "")
        if not name or page.get("said") == (words := self._aside_words(name)):
            return {}
        return self._beside(words) | {self.page: page | {"said": words}}

    def _aside_words(self, name: str) -> str:
        if not (self._context.studio.runs / Path(name).name).is_dir():
            return ""
        return markup.quiet(in_words(self._context.title(name), self._context.run(name).status()))

    def _opened(self, page: Page) -> Changes:
        """The run that is going on; to a page that was just opened else the newest, unless its end was put away."""
        found = self._context.running()
        if not found and not page and (newest := self._context.newest_run()):
            found = "" if self._context.run(newest).files.seen.exists() else newest
        if found and found != page.get("away"):
            return self.show(found)
        return {} if page else {self.page: {"run": ""}}

    def _paused(self, page: Page) -> Changes:
        """Whoever pauses wants the computer back: those that wait do not come up instead."""
        runs.pause(self._context.studio, self._context.run(page["run"]))
        queue.hold(self._context.studio, True)
        return self.show(page["run"])

    def _stopped(self, page: Page) -> Changes:
        run = self._context.run(page["run"])
        if run.status().state in ENDING:  # it was asked long ago and does not answer
            runs.end(self._context.studio, run)
        else:
            runs.stop(self._context.studio, run)
        return self.show(page["run"])

    def _resumed(self, page: Page) -> Changes:
        """Go on; with what was lacking put right, and a finished run with more steps."""
        run, studio = self._context.run(page["run"]), self._context.studio
        job, status = run.job, run.status()
        runs.require_none_running(studio)
        if status.state == "finished":
            runs.resume(studio, run, job.settings.steps + run_words.more(job.settings.steps))
        else:
            runs.resume(studio, run, changes=retries.changes(job, status.cause))
        self._context.give_way()
        return self.show(page["run"])

    def _put_away(self, page: Page) -> Changes:
        """Make room for what is asked; a run that is going on stays away from this page alone."""
        name = (page or {}).get("run", "")
        goes_on = bool(name) and not self._context.run(name).status().ended
        seen = self._context.run(name).files.seen
        if name and self._aside and not goes_on and seen.parent.is_dir():  # or its deleted folder came again
            with contextlib.suppress(UserError):  # on a full or read-only disk it is shown again
                files.touch(seen)
        return self.away(name if goes_on else "")

    def away(self, name: str = "") -> Changes:
        """What was there before a run was shown; `name` is the one to stay away from."""
        words = self._aside_words(name) if name and self._aside else ""
        page = {"run": "", "away": name, "said": words}
        shown = dict.fromkeys(self._setup, gr.update(visible=True))
        return shown | {self._panel: gr.update(visible=False), self.page: page} | self._beside(words)

    def _draw_with(self, page: Page) -> Changes:
        """Over to Generate, with what was learnt in its stack."""
        run = self._context.run(page["run"])
        path = Path(run.status().lora or keeping.newest(self._context.studio, run))
        if not path.is_file():
            raise UserError(f"{path.stem} is not in your studio any more.", "The bin in Library may have it.")
        lora = loras.describe(path)
        if problem := self._context.drafts.draw.change(lambda draft: with_lora(draft, str(lora.path), lora.trigger)):
            raise problem
        return {self._context.tabs: gr.update(selected="generate"), self._state: run_words.progress(run.status())}


@dataclass(frozen=True)
class _Mark:
    """What of a run was shown."""

    state: str
    step: int
    phase: str
    samples: int
    losses: int
    measured: int
    notes: int
    overdue: bool

    @classmethod
    def of(cls, status: RunStatus, overdue: bool) -> "_Mark":
        phase = f"{status.phase} {status.done}"
        lengths = len(status.samples), len(status.losses), len(status.measured), len(status.notes)
        return cls(status.state, status.step, phase, *lengths, overdue)
