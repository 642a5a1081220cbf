"""How the window answers: a handler gives the components it changes; what the user can mend becomes a quiet notice."""

import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from lora_gui.errors import UserError
from lora_gui.ui.widgets import markup

Changes = dict[Any, Any]  # component to its new value or update
# Gradio tells every part that an event may ever change of each state of every event, by a search for each: of some
# hundred parts that takes 0.1 s. Nothing of it is shown here, so it is told to none.
HIDDEN: dict[str, Any] = {"show_progress": "hidden", "show_progress_on": [], "api_visibility": "private"}
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


def while_kept(place: gr.HTML, handler: Callable[..., Changes], is_kept: Callable[..., bool]) -> Callable[..., Any]:
    """As `noticed`; where a LoRA `is_kept`, by the inputs, which takes a child some seconds, `place` says so first."""
    words = markup.notice("Putting it among your LoRAs", kind="note")
    meanwhile = noticed(place, lambda *inputs: {place: words if is_kept(*inputs) else ""})
    answer = noticed(place, handler)

    @functools.wraps(handler)
    def call(*inputs: Any) -> Iterator[Any]:
        yield meanwhile(*inputs)
        yield answer(*inputs)

    return call


def in_replies(window: gr.Blocks) -> None:
    """Let each press that has one answer, and soon, be answered by the reply to its own request.

    Gradio's queue answers over one stream of the page, which it closes as soon as nothing is pending: what is pressed
    at that moment is never answered. Left there is what says several things in turn and what may take minutes, which
    browsers do not wait for: uploads, and what `takes_long`. As in the queue, a handler runs once at a time, or as
    often as its `concurrency_limit` says.
    """
    turns: dict[str, threading.Semaphore] = {}
    for function in window.fns.values():
        is_long = getattr(function.fn, "takes_long", False) or any(event == "upload" for _, event in function.targets)
        if function.fn is None or function.types_generator or not function.queue or is_long:
            continue
        limit = function.concurrency_limit
        turn = turns.setdefault(function.concurrency_id, threading.Semaphore(limit if isinstance(limit, int) else 1))
        function.fn, function.queue = _in_turn(function.fn, turn), False


def takes_long(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a handler that may take minutes, such as one that writes each picture of a set."""
    handler.takes_long = True  # type: ignore[attr-defined]
    return handler


def _in_turn(handler: Callable[..., Any], turn: threading.Semaphore) -> Callable[..., Any]:
    @functools.wraps(handler)
    def call(*inputs: Any) -> Any:
        with turn:
            return handler(*inputs)

    return call
