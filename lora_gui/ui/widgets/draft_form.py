"""Fields whose values the window holds: an edit travels alone, and every answer says how all the fields stand.

So no answer depends on what the browser happened to show, in whatever order the requests arrive. The browser's part,
which never writes over what is being typed, is page.js.
"""

import itertools
import json
import math
from collections.abc import Callable, Iterable
from typing import Any

import gradio as gr

from lora_gui.errors import SettingError
from lora_gui.refusals import value_in_words
from lora_gui.ui.widgets.handlers import HIDDEN, LIGHT, Changes
from lora_gui.ui.widgets.parts import html, leaves

TEXTS = (gr.Textbox, gr.Number)


class DraftForm:
    """`typed` are fields of the user's, `said` pieces of HTML that stand or fall with the same answer.

    `fold` is the id of the accordion that some of the fields are folded into: its header tells of what is wrong inside.

    Handlers take `shown` as their first input: the number of the draft that the page shows, and what else `answer` was
    told. Where they are connected with `js=form.carries`, it has under "changes" what was typed and not heard of yet.
    """

    def __init__(self, key: str, typed: dict[str, Any], said: dict[str, gr.HTML], fold: str = "") -> None:
        self._key, self._typed = key, typed
        self._fields = typed | said
        places = json.dumps({name: field.elem_id for name, field in typed.items() if field.elem_id})
        script = f"studio.open('{key}', props, trigger, watch, {places}, '{fold}')"
        self._kept = html(js_on_load=script, html_template="")  # the latest answer, for page.js, which hears each
        self.shown = gr.JSON({}, visible=False)
        self.outputs = [self._kept, self.shown]
        self._answers = itertools.count(1)
        self.carries = f"(shown, ...rest) => [studio.unsent('{key}', shown), ...rest]"

    def connect(self, edited: Callable[[gr.EventData, dict[str, Any]], Changes], outputs: Iterable[Any] = ()) -> Any:
        """Let `edited` answer every edit; it finds them in its event's `changes`. Returns the event."""
        for name, field in self._typed.items():
            if isinstance(field, gr.Number):  # one that was emptied is filled again once it is left
                field.blur(**self._in_browser("left"))
            if not isinstance(field, TEXTS):
                js = f"value => studio.edit('{self._key}', '{name}', value)"
                field.input(None, [field], None, js=js, **HIDDEN)
        every: dict[str, Any] = LIGHT | {"trigger_mode": "multiple"}
        event = self._kept.input(edited, [self.shown], [*self.outputs, *outputs], **every)
        leaves(self._key, event)
        return self.filled(event)

    @property
    def texts(self) -> dict[str, tuple[str, str]]:
        """What is typed into, by its ids, for page.js, which hears it itself."""
        boxes = {name: field for name, field in self._typed.items() if isinstance(field, TEXTS)}
        return {str(field.elem_id): (self._key, name) for name, field in boxes.items()}

    def filled(self, event: Any) -> Any:
        """Let the browser take the answer that `event` brought; the event after which it stands there."""
        return event.then(**self._in_browser("fill"))

    def answer(
        self,
        number: int,
        took: dict[str, float],
        values: dict[str, Any],
        wrong: dict[str, SettingError] | None = None,
        focus: str = "",
        pressed: bool = False,
        stays: bool = False,
        **more: Any,
    ) -> Changes:
        """How the fields stand in the draft of this number; those without a value stay as they are.

        `took` is when the latest was typed of which `values` is what has become, for each field, in ms. What is `wrong`
        stands under its field, and the field that `focus` names is gone to, because something was `pressed` that has to
        wait for it. What is said `stays` until something is changed or pressed, whatever looks find meanwhile.
        """
        faults = {name: _fault(error) for name, error in (wrong or {}).items()}
        told = {"number": number, "answer": next(self._answers), "names": list(self._fields), "values": values}
        told |= {"took": took, "wrong": faults, "focus": focus, "pressed": pressed, "stays": stays}
        return {self._kept: json.dumps(told), self.shown: {"number": number} | more}

    def _in_browser(self, act: str) -> dict[str, Any]:
        """How page.js is let change the fields by `act`, without asking anybody."""
        fields = list(self._fields.values())
        js = f"(kept, ...shown) => studio.{act}('{self._key}', kept, shown)"
        return {"fn": None, "inputs": [self._kept, *fields], "outputs": fields, "js": js} | HIDDEN


def _fault(error: SettingError) -> dict[str, Any]:
    """What is wrong with a field: words, and the nearest value, if there is one, with the words of its button."""
    near = error.instead
    if near is None:
        return {"words": f"{error.what} {error.remedy}"}
    if isinstance(near, int) and int(float(near)) > near:
        near = int(math.nextafter(near, 0))  # what a browser's number can hold
    use = f"Switch {'on' if near else 'off'}" if isinstance(near, bool) else f"Use {value_in_words(near)}"
    return {"words": error.what, "instead": near, "use": use}
