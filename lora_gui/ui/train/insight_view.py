"""What an ended run has learnt: the hero, a report on the press of a button, and what mends it."""

from pathlib import Path
from typing import Any

import gradio as gr

from lora_gui.errors import UserError
from lora_gui.studio.insight import mended, report, sheets
from lora_gui.studio.insight.best import at_full_strength, keep
from lora_gui.studio.insight.report import Report
from lora_gui.studio.tasks.run import Run
from lora_gui.studio.tasks.status import RunStatus
from lora_gui.ui.context import Context
from lora_gui.ui.train import insight_words, planned
from lora_gui.ui.train.insight_words import Shown
from lora_gui.ui.widgets import markup
from lora_gui.ui.widgets.handlers import HIDDEN, Changes, noticed, while_kept
from lora_gui.ui.widgets.parts import PRESSES, html
from lora_gui.ui.widgets.thumbnails import Thumbnails

LARGE, SHEET = 512, 1600  # px, longer sides of the two compared drawings, and of sheets
HERO = """
element.addEventListener('input', event => {
  event.target.closest('.compared').style.setProperty('--at', `${event.target.value}%`);
});
element.addEventListener('click', event => {
  const button = event.target.closest('.strip button');
  if (!button) return;
  const [base, learnt] = element.querySelectorAll('.compared img'), prompt = button.dataset.prompt;
  base.src = button.dataset.base;
  learnt.src = button.dataset.learnt;
  base.alt = base.title = `The base alone: ${prompt}`;
  learnt.alt = learnt.title = `With your LoRA: ${prompt}`;
  element.querySelector('.ends + .quiet').textContent = prompt;
  for (const one of element.querySelectorAll('.strip button')) one.setAttribute('aria-pressed', one === button);
});
"""
Mark = list[Any]  # what a page shows of it


class InsightView:
    """Lays the hero out where it is made, and the rest with `below`."""

    def __init__(self, context: Context, key: str) -> None:
        self._context, self._key = context, key
        self._work = context.insight
        self._hero = html(js_on_load=HERO, elem_id=f"{key}slider", elem_classes="slider")

    def below(self) -> None:
        with gr.Column(visible=False, elem_id=f"{self._key}insight", elem_classes="insight") as self._panel:
            with gr.Row(elem_classes="under"):
                self._look = self._button("See what it learnt", "see", 170)
                self._stop = self._button("Stop looking", "unsee", 120)
                html(markup.learn("wrong", "when it goes wrong"))
            self._state = html(elem_id=f"{self._key}insight-state")
            self._found = html(js_on_load=PRESSES, elem_id=f"{self._key}found")
        self._mark = gr.JSON([], visible=False)
        self.outputs = [self._hero, self._panel, self._look, self._stop, self._state, self._found, self._mark]

    def _button(self, words: str, name: str, width: int) -> gr.Button:
        return gr.Button(words, scale=0, min_width=width, elem_id=f"{self._key}{name}")

    def connect(self, page: gr.JSON, shows: Any, outputs: list[Any]) -> None:
        """`page` is what says which run is shown; `shows(run)` shows another one, in `outputs`."""
        live = self._context.live
        live.watch(self._looked, [page, self._mark], self.outputs)
        begun, stopped = noticed(self._state, self._begun), self._stopped
        live.after(self._look.click(begun, [page], self.outputs, **HIDDEN), f"#{self._key}unsee")
        live.after(self._stop.click(stopped, [page], self.outputs, **HIDDEN), f"#{self._key}see")

        def acted(event: gr.EventData, page: dict[str, Any]) -> Changes:
            return self._acted(event, page, shows)

        def connect_acts() -> None:
            """Once all tabs are laid out: captions are written in Train."""
            changed = list(dict.fromkeys([*outputs, *self._context.setup, self._context.tabs]))
            kept = while_kept(self._state, acted, lambda event, _: event.act in ("keep", "step"))
            live.after(self._found.select(kept, [page], changed, **HIDDEN))

        self._context.last.append(connect_acts)

    def changes(self, run: Run, status: RunStatus) -> Changes:
        """Everything there is to see of a run."""
        mark = self._marked(run)  # first: what changes meanwhile is looked at once more
        if not status.ended or not (status.lora or status.state == "failed"):
            return {self._hero: "", self._panel: gr.update(visible=False), self._mark: mark}
        found, now = report.read(run), self._work.standing
        ours = now.run == run.folder.name
        goes_on, stale = ours and now.goes_on, found is not None and found.step != status.step
        return {
            self._hero: self._compared(run, status, found),
            self._panel: gr.update(visible=True),
            self._look: gr.update(value="Look again" if found else "See what it learnt", visible=not goes_on),
            self._stop: gr.update(visible=goes_on, interactive=not now.stopping),
            self._state: (insight_words.stands(now) if ours else "")
            + (markup.quiet(f"This is of step {found.step}; it has learnt more since.") if found and stale else ""),
            self._found: self._told(run, found) if found else "",
            self._mark: mark,
        }

    def _told(self, run: Run, found: Report) -> str:
        try:
            job = run.job
        except UserError as error:
            return markup.problem(error)
        address = Thumbnails(self._context.studio, SHEET)
        return insight_words.told(found, job, run.files.insight, sheets.kept_steps(run), address)

    def _compared(self, run: Run, status: RunStatus, found: Report | None) -> str:
        """The prompts of the run and those of the report, without and with the LoRA."""
        samples, home = run.files.samples, run.files.insight
        prompts = {Path(sample.path).name: sample.prompt for sample in status.samples}
        pairs = [
            Shown(prompt, samples / name.replace("final", "base"), samples / name)
            for name, prompt in sorted(prompts.items())
            if name.startswith("final-")
        ]
        pairs += [Shown(prompt, home / base, home / learnt) for prompt, base, learnt in found.prompts] if found else []
        large, small = Thumbnails(self._context.studio, LARGE), Thumbnails(self._context.studio)
        return insight_words.hero(pairs, large, small) or large.remark()

    def _marked(self, run: Run) -> Mark:
        """What changes whenever anything that is shown does."""
        now, path = self._work.standing, run.files.insight / report.REPORT
        ours = [now.done, now.of, now.goes_on, now.stopping, bool(now.problem)] if now.run == run.folder.name else []
        return [run.folder.name, path.stat().st_mtime if path.is_file() else 0, *ours]

    def _looked(self, page: dict[str, Any], mark: Mark) -> Changes:
        name = (page or {}).get("run", "")
        if not name or not (self._context.studio.runs / Path(name).name).is_dir():
            return {}
        run = self._context.run(name)
        return {} if mark == self._marked(run) else self.changes(run, run.status())

    def _begun(self, page: dict[str, Any]) -> Changes:
        run = self._context.run(page["run"])
        self._work.begin(run)
        return self.changes(run, run.status())

    def _stopped(self, page: dict[str, Any]) -> Changes:
        self._work.stop()
        run = self._context.run(page["run"])
        return self.changes(run, run.status())

    def _acted(self, event: gr.EventData, page: dict[str, Any], shows: Any) -> Changes:
        """What was pressed at the report: keep the best, or train again without a finding."""
        run, studio = self._context.run(page["run"]), self._context.studio
        found = report.read(run)
        if found is None:
            raise UserError("The report of this run is gone.", "Look again.")
        chosen = found.best if event.act == "keep" else None
        if event.act == "step" and str(event.word).isdecimal():
            chosen = at_full_strength(run, int(event.word))
        if chosen:
            path = keep(studio, run, chosen)
            kept = f"{path.name} is among your LoRAs, with its word, its strength and a cover."
            return {self._state: markup.notice(kept, kind="good")}
        if event.act == "captions":
            return self._context.over_to_train(planned.draft_of(studio, run.job))
        finding = next((one for one in found.findings if one.kind == event.word), None)
        if finding is None:
            return {}
        comes_next = not self._context.running()
        begun = mended.start(studio, run, finding.changes)
        if comes_next:
            self._context.give_way()
        if begun.status().state == "waiting":
            return {self._state: markup.notice(f"{begun.job.name} waits its turn; it is in Runs.", kind="good")}
        shown: Changes = shows(begun.folder.name)
        return shown
