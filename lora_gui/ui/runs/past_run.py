"""A run that was chosen from the list: as everywhere, and what can be done with it long after its end."""

import gradio as gr

from lora_gui.errors import UserError
from lora_gui.settings import TrainSettings
from lora_gui.studio.tasks import runs
from lora_gui.studio.tasks.run import Run
from lora_gui.studio.tasks.status import RunStatus
from lora_gui.ui.context import Context
from lora_gui.ui.runs import lists
from lora_gui.ui.train import planned
from lora_gui.ui.train.run_view import Page, RunView
from lora_gui.ui.widgets import markup
from lora_gui.ui.widgets.handlers import HIDDEN, Changes, noticed
from lora_gui.ui.widgets.parts import html


class PastRun(RunView):
    """Takes the place of `listed` while it is shown."""

    def __init__(self, context: Context, listed: gr.Column) -> None:
        super().__init__(context, (listed,), key="past-")
        with gr.Column(visible=False, elem_classes="run") as self._more:
            self._differs = html(elem_id="differs")
            with gr.Row(elem_classes="under"):
                self._clone = self._button("Train with these settings", "clone", 210)
                self._delete = self._button("Delete", "delete", 110)
            with gr.Row(visible=False, elem_classes="under", elem_id="past-asking") as self._asking:
                self._frees = html()
                self._sure = self._button("Delete it", "sure", 110)
                self._keep = self._button("Keep it", "keep", 110)
        self.outputs += [self._more, self._differs, self._delete, self._asking, self._frees]

    def connect(self) -> None:
        super().connect()
        live, context = self._context.live, self._context
        asking = self._delete.click(self._asked, [self.page], [self._asking, self._frees], **HIDDEN)
        live.after(asking, "#past-keep")
        kept = self._keep.click(lambda: gr.update(visible=False), None, self._asking, **HIDDEN)
        live.after(kept, "#past-delete")
        deleted = self._sure.click(noticed(self._state, self._deleted), [self.page], self.outputs, **HIDDEN)
        live.after(deleted, "#runs-list button", "#tabs [aria-selected=true]")
        cloned = noticed(self._state, self._cloned)
        outputs = [self._state, context.tabs, *context.setup]
        live.after(self._clone.click(cloned, [self.page], outputs, **HIDDEN), "#trigger input")

    def _framed(self, run: Run, status: RunStatus, overdue: bool) -> Changes:
        return super()._framed(run, status, overdue) | {
            self._more: gr.update(visible=True),
            self._differs: self._told_apart(run),
            self._delete: gr.update(visible=status.ended),
            self._asking: gr.update(visible=False),
        }

    def away(self, name: str = "") -> Changes:
        return super().away(name) | {self._more: gr.update(visible=False)}

    def _told_apart(self, run: Run) -> str:
        try:
            found = planned.differs(self._context.studio, run.job)
        except UserError as error:
            return markup.quiet(f"{error.what} {error.remedy}")
        return lists.differences(found, lambda name: TrainSettings.model_fields[name].title or name)

    def _asked(self, page: Page) -> Changes:
        """What deleting would free, before it is done."""
        told = f"Frees {lists.size(runs.size(self._context.run(page['run'])))}. Its LoRA and its pictures stay."
        return {self._asking: gr.update(visible=True), self._frees: markup.quiet(told)}

    def _deleted(self, page: Page) -> Changes:
        runs.delete(self._context.studio, self._context.run(page["run"]))
        return self.away()

    def _cloned(self, page: Page) -> Changes:
        """Over to Train, with what this run was made with."""
        return self._context.over_to_train(planned.draft_of(self._context.studio, self._context.run(page["run"]).job))

