"""A run as it is seen: built from its folder alone, so that a refreshed page or a second window shows the same."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from lora_gui import files
from lora_gui.studio.tasks import retries, runs
from lora_gui.studio.tasks.diagnostics import report
from lora_gui.studio.tasks.runs import Run
from lora_gui.studio.tasks.status import RunStatus
from lora_gui.ui.context import Context
from lora_gui.ui.train import run_words
from lora_gui.ui.widgets import markup, thumbnails
from lora_gui.ui.widgets.handlers import HIDDEN, LIGHT, Changes, noticed
from lora_gui.ui.widgets.parts import html
from lora_gui.ui.widgets.plot import loss_plot

SECONDS = 1.0  # between two looks at the run's folder
SEEN = "seen"  # sign in a run's folder: its end was looked at and put away
ENDING = ("stopping", "pausing")
COPY = """
element.addEventListener('click', event => {
  const button = event.target.closest('[data-copy]');
  if (!button) return;
  navigator.clipboard.writeText(element.querySelector('pre').textContent).then(() => button.textContent = 'Copied');
});
"""
COMPARED = 512  # px, the side to which small drawings are enlarged for the slider


class RunView:
    """Lays itself out where it is made, and takes the place of `setup` while there is a run to look at."""

    def __init__(self, context: Context, setup: tuple[gr.Column, ...]) -> None:
        self._context, self._setup = context, setup
        self._shown = gr.State("")  # folder name of the run on view, empty while the setup is
        self._mark = gr.State(None)  # what was shown last, so that only changes are sent
        with gr.Column(visible=False, elem_id="run") as self._panel:
            with gr.Row(elem_id="run-head"):
                self._head = html()
                self._pause = gr.Button("Pause", scale=0, min_width=110, elem_id="pause")
                self._stop = gr.Button("Stop", scale=0, min_width=110, elem_id="stop")
            self._state = html(elem_id="run-state")
            with gr.Column(visible=False, elem_id="result") as self._result:
                self._slider = gr.ImageSlider(
                    label="Base and LoRA",
                    show_label=False,
                    type="filepath",
                    format="png",
                    interactive=False,
                    buttons=[],
                    elem_id="slider",
                )
                html('<div class="ends"><span>Base</span><span>With your LoRA, same seed</span></div>')
            with gr.Row(visible=False, elem_id="after") as self._after:
                self._resume = gr.Button("Resume", size="lg", scale=0, min_width=170, elem_id="resume")
                self._draw = gr.Button(
                    "Draw with it", variant="primary", size="lg", scale=0, min_width=180, elem_id="draw-with"
                )
                self.another = gr.Button("Train another", size="lg", scale=0, min_width=170, elem_id="another")
            with gr.Row(elem_id="progress"):
                self._samples = html(elem_id="samples")
                self._plot = html(elem_id="plot")
            self._notes = html()
            self._report = html(js_on_load=COPY, elem_id="report")
        self._frame = [
            *setup,
            self._panel,
            self._head,
            self._pause,
            self._stop,
            self._result,
            self._slider,
            self._after,
            self._resume,
            self._draw,
            self.another,
            self._report,
        ]
        self.outputs = [*self._frame, self._state, self._samples, self._plot, self._notes, self._shown, self._mark]

    def connect(self, load: Any) -> None:
        state = [self._shown, self._mark]
        timer = gr.Timer(SECONDS)
        load(self._opened, None, self.outputs, **LIGHT)
        timer.tick(self._look, state, self.outputs, **LIGHT)
        for button, act in ((self._pause, self._paused), (self._stop, self._stopped), (self._resume, self._resumed)):
            button.click(noticed(self._state, act), [self._shown], self.outputs, **HIDDEN)
        self.another.click(self._put_away, [self._shown], self.outputs, **HIDDEN)
        self._draw.click(
            self._draw_with, [self._shown, self._context.wanted], [self._context.tabs, self._context.wanted], **HIDDEN
        )

    def show(self, name: str) -> Changes:
        """Everything there is to see of a run."""
        return self._changes(name, self._context.run(name).status(), None)

    def _changes(self, name: str, status: RunStatus, seen: "_Mark | None") -> Changes:
        """What to show of a run, less what was seen already."""
        now = _Mark.of(status)
        changes: Changes = {self._state: run_words.progress(status), self._shown: name, self._mark: now}
        if seen is None or seen.state != now.state:
            changes |= self._framed(self._context.run(name), status)
        if seen is None or seen.samples != now.samples:
            address = functools.partial(thumbnails.address, self._context.studio)
            changes[self._samples] = markup.sample_grid(status.samples, address)
        if seen is None or seen.losses != now.losses:
            changes[self._plot] = loss_plot(status.losses, status.of)
        if seen is None or seen.notes != now.notes:
            changes[self._notes] = markup.sentences("Worth knowing", status.notes)
        return changes

    def _framed(self, run: Run, status: RunStatus) -> Changes:
        """What depends on the state alone: which parts are there."""
        lora = bool(status.lora)
        compared = _compared(run.folder / "samples") if lora else None
        return dict.fromkeys(self._setup, gr.update(visible=False)) | {
            self._panel: gr.update(visible=True),
            self._head: run_words.head(run),
            self._pause: gr.update(visible=not status.ended, interactive=status.state not in ENDING),
            self._stop: gr.update(
                visible=not status.ended or status.state == "paused", interactive=status.state not in ENDING
            ),
            self._result: gr.update(visible=compared is not None),
            self._slider: compared,
            self._after: gr.update(visible=status.ended),
            self._resume: gr.update(
                value=run_words.go_on(run, status), variant="secondary" if lora else "primary", visible=status.ended
            ),
            self._draw: gr.update(
                visible=lora or bool(status.resumable and run.checkpoint()), variant="primary" if lora else "secondary"
            ),
            self._report: markup.report(report(run)) if status.state == "failed" else "",
            self.another: gr.update(value="Train another" if lora else "Back"),
        }

    def show_if_running(self) -> Changes:
        """The run that another window began, for a Start that came too late."""
        name = self._context.newest_run()
        return self.show(name) if name and not self._context.run(name).status().ended else {}

    def _opened(self) -> Any:
        """A page was opened: the newest run, unless its end was put away."""
        name = self._context.newest_run()
        if not name or (self._context.studio.runs / name / SEEN).exists():
            return gr.skip()
        return self.show(name)

    def _look(self, shown: str, seen: "_Mark | None") -> Any:
        """What has changed since the last look; mostly nothing."""
        if not shown:
            return self.show_if_running() or gr.skip()
        if not (self._context.studio.runs / shown).is_dir():  # deleted by hand
            return self._away()
        status = self._context.run(shown).status()
        return gr.skip() if seen == _Mark.of(status) else self._changes(shown, status, seen)

    def _paused(self, shown: str) -> Changes:
        self._context.run(shown).pause()
        return self.show(shown)

    def _stopped(self, shown: str) -> Changes:
        run = self._context.run(shown)
        if run.status().ended:
            self._context.drawer.release()
        runs.stop(self._context.studio, run)
        return self.show(shown)

    def _resumed(self, shown: str) -> Changes:
        """Go on; with what was cause put right, and a finished run with more steps."""
        run, studio = self._context.run(shown), self._context.studio
        job, status = run.job, run.status()
        runs.require_none_running(studio)
        self._context.drawer.release()
        if status.state == "finished":
            runs.resume(studio, run, job.settings.steps + run_words.more(job.settings.steps))
        else:
            runs.resume(studio, run, changes=retries.changes(job, status.cause))
        return self.show(shown)

    def _put_away(self, shown: str) -> Changes:
        if shown:
            files.touch(self._context.studio.runs / Path(shown).name / SEEN)
        return self._away()

    def _away(self) -> Changes:
        visible = dict.fromkeys(self._setup, gr.update(visible=True))
        return visible | {self._panel: gr.update(visible=False), self._shown: "", self._mark: None}

    def _draw_with(self, shown: str, wanted: tuple[str, int]) -> Changes:
        run = self._context.run(shown)
        lora = run.status().lora or runs.keep_lora(self._context.studio, run)
        return {self._context.tabs: gr.update(selected="generate"), self._context.wanted: (lora, wanted[1] + 1)}


@dataclass(frozen=True)
class _Mark:
    """What of a run was shown."""

    state: str
    step: int
    phase: str
    samples: int
    losses: int
    notes: int

    @classmethod
    def of(cls, status: RunStatus) -> "_Mark":
        phase = f"{status.phase} {status.done}"
        return cls(status.state, status.step, phase, len(status.samples), len(status.losses), len(status.notes))


def _compared(samples: Path) -> tuple[Image.Image, Image.Image] | None:
    """The same prompt and seed without and with the LoRA; None where one was not drawn."""
    try:
        return _enlarged(samples / "base-0.png"), _enlarged(samples / "final-0.png")
    except OSError:
        return None


def _enlarged(path: Path) -> Image.Image:
    with Image.open(path, formats=("PNG",)) as image:
        picture = image.convert("RGB")
    scale = max(1, COMPARED // max(picture.size))
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.LANCZOS)
