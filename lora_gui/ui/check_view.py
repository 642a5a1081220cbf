"""Check my studio: a quiet button at the foot of the window, and what it found."""

import gradio as gr

from lora_gui.studio.paths import Studio
from lora_gui.studio.verify import verify
from lora_gui.ui.widgets import markup
from lora_gui.ui.widgets.handlers import HIDDEN, LIGHT, takes_long
from lora_gui.ui.widgets.parts import html


def build(studio: Studio) -> None:
    """Lay it out and connect it."""
    with gr.Column(elem_classes="page", elem_id="check"):
        button = gr.Button("Check my studio", size="sm", scale=0, min_width=150, elem_id="check-studio")
        found = html(elem_id="check-found")
    started = button.click(lambda: markup.quiet("Everything is being read again."), None, found, **LIGHT)
    started.then(takes_long(lambda: _shown(verify(studio))), None, found, **HIDDEN)


def _shown(found: dict) -> str:
    checked = markup.counted(found["checked"], "thing")
    if not found["wrong"]:
        among = f"{checked} checked among runs, LoRAs, pictures and drawings."
        return markup.notice("Everything is whole.", among, "good")
    told = [f"{one['what']} {one['remedy']} ({one['path']})" for one in found["wrong"]]
    return markup.sentences(f"{len(told)} of {checked} are not whole", told)
