"""How much of the card a training would fill, and a button that makes it fit or quicker; counted meanwhile."""

import json
from collections.abc import Callable
from typing import Any

import gradio as gr

from lora_gui.errors import UserError
from lora_gui.protocol.jobs import Base
from lora_gui.settings import TrainSettings
from lora_gui.studio.capacity import fit, gpu, plans
from lora_gui.ui.context import Context
from lora_gui.ui.widgets import markup
from lora_gui.ui.widgets.handlers import HIDDEN, Changes, takes_long
from lora_gui.ui.widgets.parts import html

_KEPT = 64  # plans


class MemoryView:
    """Lays itself out where it is made; without a card, or with a small base, nothing of it is seen."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._known: dict[str, dict[str, Any]] = {}  # plans by their questions
        self.proposal = gr.JSON({}, visible=False)  # the settings that would make it fit
        self.bar = html(elem_id="memory")
        self.fit = gr.Button("Make it fit", size="sm", scale=0, min_width=130, visible=False, elem_id="make-it-fit")
        self.outputs = [self.proposal, self.bar, self.fit]

    def connect(self, wanted: Callable[[], tuple[Base, TrainSettings]]) -> None:
        """Whenever the bar changes, count what is `wanted` by then: once it is known, the bar changes no more."""

        @takes_long
        def count() -> Any:
            try:
                base, settings = wanted()
            except UserError:  # said beside the fields already
                return self._shown("", {})
            return self.counted(base, settings) if fit.is_tight(base) else self._shown("", {})

        self.bar.change(count, None, self.outputs, **HIDDEN, trigger_mode="always_last")

    def at_once(self, base: Base, settings: TrainSettings) -> str:
        """What the bar says before anything is counted."""
        return str(self.counting(base, settings)[self.bar])

    def counting(self, base: Base, settings: TrainSettings) -> Changes:
        """What is shown at once: a plan that is known, else that it is being counted."""
        if not fit.is_tight(base):
            return self._shown("", {})
        question = self._question(base, settings)
        if question in self._known:
            return self._told(self._known[question])
        return self._shown(markup.bar(-1.0, "Counting the memory this takes", ""), {})

    def counted(self, base: Base, settings: TrainSettings) -> Changes:
        """The plan; takes up to a minute for settings that were never planned for."""
        question = self._question(base, settings)
        if question not in self._known:
            try:
                found = plans.ask(self._context.studio, [plans.job(self._context.studio, base, settings, gpu.memory())])
            except UserError as error:
                return self._shown(markup.quiet(f"{error.what} {error.remedy}"), {})
            for old in list(self._known)[: len(self._known) - _KEPT + 1]:
                del self._known[old]
            self._known[question] = found[0]
        return self._told(self._known[question])

    def _question(self, base: Base, settings: TrainSettings) -> str:
        return json.dumps([base.model_dump(), settings.model_dump(), gpu.memory()], default=str)

    def _told(self, plan: dict[str, Any]) -> Changes:
        gib, peak, changed = gpu.memory(), float(plan["peak_gib"]), dict(plan["changed"])
        bar = markup.bar(peak / gib, f"{peak:.1f} of {gib:.0f} GB", "of the graphics memory")
        if quicker := plan.get("quicker"):
            what = "There is room to be quicker. Nothing that is learnt changes:"
            said = markup.sentences(what, [*plan["notes"], *plan["gains"]])
            return self._shown(said + bar, dict(quicker), "Make it quicker")
        if plan["fits"] and not changed:
            return self._shown(markup.quiet(" ".join(plan["notes"])) + bar if plan["notes"] else bar, {})
        if plan["fits"]:
            what = "This is too large as it stands. It fits with these changes:"
            return self._shown(markup.sentences(what, plan["notes"]) + bar, changed)
        remedy = " ".join(plan["notes"]) or "Choose a smaller base."
        return self._shown(markup.notice("This base is too large for this computer.", remedy) + bar, {})

    def _shown(self, words: str, proposal: dict[str, Any], label: str = "Make it fit") -> Changes:
        return {self.bar: words, self.proposal: proposal, self.fit: gr.update(value=label, visible=bool(proposal))}
