"""Who looks when: while something lives and a page is seen, after every press of a button, and never else.

A view says how it looks with `watch`; one request asks all of them. What is said of it aloud, the page's title and the
dots on the tabs come from here too.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from lora_gui.studio.tasks.status import RunStatus
from lora_gui.ui.widgets.draft_form import DraftForm
from lora_gui.ui.widgets.handlers import HIDDEN, LIGHT, Changes
from lora_gui.ui.widgets.parts import html

DRAWING, TRAINING = 500, 1000  # ms between two looks
TITLE = "LoRA Studio"
STATES = {
    "queued": "is starting",
    "waiting": "waits for its turn",
    "running": "is training",
    "pausing": "is being paused",
    "paused": "is paused",
    "stopping": "is being stopped",
    "stopped": "was stopped",
    "finished": "is ready",
    "failed": "could not go on",
    "elsewhere": "is on another computer",
}


class Live:
    """Make it inside the layout; `connect` once every view has said how it looks."""

    def __init__(self) -> None:
        self._pulse = html(js_on_load="studio.live(props, trigger, watch)", html_template="", elem_id="live")
        self._looks: list[tuple[Callable[..., Changes], list[Any], list[Any]]] = []
        self._forms: list[DraftForm] = []

    def watch(self, look: Callable[..., Changes], inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """`look` gives what has changed for the page whose `inputs` these are; mostly nothing."""
        self._looks.append((look, [*inputs], [*outputs]))

    def fills(self, form: DraftForm) -> None:
        """Let the browser take what a look brings for `form`."""
        self._forms.append(form)

    def after(self, event: Any, *focus: str) -> Any:
        """Look once `event` is done, because it may have begun something.

        Where the pressed button is gone by then, the focus goes to the first of these selectors that is seen.
        """
        return event.then(None, js=f"() => studio.after({json.dumps(focus)})", **HIDDEN)

    def connect(self, load: Any, standing: Callable[[], "Standing"]) -> None:
        inputs = [self._pulse, *(one for _, given, _ in self._looks for one in given)]
        outputs = list(dict.fromkeys([self._pulse, *(one for _, _, changed in self._looks for one in changed)]))

        texts = {id: field for form in self._forms for id, field in form.texts.items()}
        html(js_on_load=f"studio.texts({json.dumps(texts)})")

        def look(shown: str, *given: Any) -> Any:
            now = standing()  # first: what ends while the views look is looked at once more
            changes: Changes = {}
            rest = list(given)
            for one, taken, _ in self._looks:
                changes |= one(*rest[: len(taken)])
                del rest[: len(taken)]
            if not now.lives:
                now = standing()  # a look may begin something
            told = now.to_json()
            return changes | ({} if told == shown else {self._pulse: told}) or gr.skip()

        for event in (load(look, inputs, outputs, **LIGHT), self._pulse.tick(look, inputs, outputs, **LIGHT)):
            for form in self._forms:
                form.filled(event)
            event.then(None, js="studio.arrived", **HIDDEN)


class Standing:
    """What lives at the moment, as the page's script takes it."""

    def __init__(self, name: str = "", run: RunStatus | None = None, draws: bool = False, waits: bool = False) -> None:
        self._name, self._run, self._draws, self._waits = name, run, draws, waits
        self._trains = run is not None and not run.ended

    @property
    def lives(self) -> bool:
        """Whether there is anything to look at again."""
        return self._draws or self._trains or self._waits

    def to_json(self) -> str:
        every = DRAWING if self._draws else TRAINING if self.lives else 0
        tabs = [*(["Train", "Runs"] if self._trains else []), *(["Generate"] if self._draws else [])]
        return json.dumps({"every": every, "title": self._title(), "tabs": tabs, "words": self._words()})

    def _title(self) -> str:
        """What the browser's tab is called."""
        if self._trains and self._run:
            share = f"{100 * self._run.step // self._run.of} % - " if self._run.step and self._run.of else ""
            return f"{share}{self._name} · {TITLE}"
        return f"Drawing · {TITLE}" if self._draws else TITLE

    def _words(self) -> str:
        """What is said aloud: every change of state, and every tenth of the way."""
        if self._run is None:
            return ""
        if self._run.state == "running" and self._run.phase:
            return f"{self._name}: {self._run.phase}"
        if self._run.state == "running" and self._run.step and self._run.of:
            return f"{self._name}: {10 * (10 * self._run.step // self._run.of)} percent"
        return in_words(self._name, self._run)


def in_words(name: str, status: RunStatus) -> str:
    """How a run stands, in a sentence without its steps."""
    return f"{name} {STATES.get(status.state, status.state)}."
