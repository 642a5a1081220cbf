"""How the window answers: a handler gives the components it changes; what the user can mend becomes a quiet notice."""

import functools
from collections.abc import Callable
from typing import Any

import gradio as gr

from lora_gui.errors import UserError
from lora_gui.ui.widgets import markup

Changes = dict[Any, Any]  # component to its new value or update
HIDDEN: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
# Polls and checks while typing: answered at once, never waiting behind work that takes long.
LIGHT: dict[str, Any] = HIDDEN | {"queue": False, "trigger_mode": "always_last"}


def noticed(
    place: gr.HTML, handler: Callable[..., Changes], on_error: Callable[[], Changes] = dict
) -> Callable[..., Any]:
    """`handler`, and `place`, one of its outputs, cleared when it works and holding the sentence when it does not."""

    @functools.wraps(handler)
    def call(*inputs: Any) -> Any:
        try:
            return {place: ""} | handler(*inputs)
        except UserError as error:
            return on_error() | {place: markup.problem(error)}

    return call
