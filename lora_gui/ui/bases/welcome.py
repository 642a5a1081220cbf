"""What this computer can do, and which base to fetch first: shown once, above the form of Train; later on Bases."""

import contextlib
from typing import Any

import gradio as gr

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.studio.capacity import computer, gpu
from lora_gui.studio.paths import Studio
from lora_gui.ui.bases import cards
from lora_gui.ui.context import Context
from lora_gui.ui.widgets import markup
from lora_gui.ui.widgets.handlers import LIGHT, Changes
from lora_gui.ui.widgets.parts import html

_SEEN = "welcomed.json"
_READY = "The starter is ready: drop pictures below, or use the examples, and press Start."


def build(context: Context) -> None:
    """Lay it out and connect it; it is shown to a page that opens before anybody has closed it."""
    with gr.Column(visible=False, elem_id="welcome") as panel:
        said = html()
        with gr.Row(elem_classes="under"):
            look = gr.Button("See the bases", size="sm", scale=0, min_width=140, elem_id="welcome-bases")
            close = gr.Button("Close", size="sm", scale=0, min_width=90, elem_id="welcome-close")

    told = gr.JSON({}, visible=False)  # whether this page was told

    def look_at(shown: dict[str, Any]) -> Changes:
        if shown or not _is_new(context.studio):
            return {}
        return {told: {"told": True}, panel: gr.update(visible=True), said: _words(context.studio)}

    def closed() -> Changes:
        with contextlib.suppress(UserError):  # on a full or read-only disk it comes again
            files.write_json(context.studio.home / _SEEN, {"seen": True})
        return {panel: gr.update(visible=False), told: {"told": True}}

    context.live.watch(look_at, [told], [told, panel, said])
    context.live.after(close.click(closed, None, [panel, told], **LIGHT), ".zone-ways button")

    def to_bases() -> Changes:
        return closed() | {context.tabs: gr.update(selected="bases")}

    context.live.after(look.click(to_bases, None, [panel, told, context.tabs], **LIGHT), "#tab-bases-button")


def _is_new(studio: Studio) -> bool:
    """Whether nobody has closed it, and nothing was ever trained here."""
    return not (studio.home / _SEEN).is_file() and not any(studio.runs.glob("*/job.json"))


def _words(studio: Studio) -> str:
    # without a card the suggestion is the starter, which is what is said before it
    more = f" {computer.suggestion(studio).why}" if gpu.memory() else ""
    title = '<h2 class="ask">This computer</h2>'
    return title + cards.lines(computer.lines(studio)) + markup.quiet(_READY + more)
