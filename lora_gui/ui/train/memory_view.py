"""How much of the card a training would fill, and a button that makes it fit; counted while one chooses on."""

import json
from typing import Any

import gradio as gr

from lora_gui.errors import UserError
from lora_gui.protocol.jobs import Base
from lora_gui.settings import TrainSettings
from lora_gui.studio.capacity import fit, gpu, plans
from lora_gui.ui.context import Context
from lora_gui.ui.widgets import markup
from lora_gui.ui.widgets.handlers import HIDDEN, Changes
from lora_gui.ui.widgets.parts import html

_KEPT = 64  # plans


class MemoryView:
    """Lays itself out where it is made; without a card, or with a small base, nothing of it is seen."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._known: dict[str, dict[str, Any]] = {}  # plans by their questions
        self._proposal = gr.State({})  # the settings that would make it fit
        self._bar = html(elem_id="memory")
        self.fit = gr.Button("Make it fit", size="sm", scale=0, min_width=130, visible=False, elem_id="make-it-fit")
        self.outputs = [self._proposal, self._bar, self.fit]

    def connect(self, fields: dict[str, Any]) -> Any:
        """Let the button put the proposal into the fields; the event after which they stand there."""

        def apply(proposal: dict[str, Any]) -> Changes:
            return {fields[name]: value for name, value in proposal.items()} or gr.skip()

        return self.fit.click(apply, [self._proposal], list(fields.values()), **HIDDEN)

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
        bar = markup.bar(peak / gib, f"{peak:.1f} of {gib:.0f} GB", "of your card's memory")
        if plan["fits"] and not changed:
            return self._shown(bar, {})
        if plan["fits"]:
            what = "This is too large for your card as it stands. It fits with these changes:"
            return self._shown(markup.sentences(what, plan["notes"]) + bar, changed)
        remedy = " ".join(plan["notes"]) or "Choose a smaller base."
        return self._shown(markup.notice("This base is too large for this computer.", remedy) + bar, {})

    def _shown(self, words: str, proposal: dict[str, Any]) -> Changes:
        return {self._bar: words, self._proposal: proposal, self.fit: gr.update(visible=bool(proposal))}
