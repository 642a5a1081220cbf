"""One quiet line that asks once whether LoRA Studio is to come into the applications menu."""

import functools

import gradio as gr

from lora_gui.studio import menu
from lora_gui.studio.paths import Studio
from lora_gui.ui.widgets import markup
from lora_gui.ui.widgets.handlers import HIDDEN, LIGHT, Changes, noticed
from lora_gui.ui.widgets.parts import html

OUT = "python -m lora_gui menu remove"


def build(studio: Studio, window: gr.Blocks) -> None:
    """Lay it out and connect it; it is shown to a page that opens while there is no answer."""
    with gr.Column(elem_classes="page", elem_id="menu"):
        with gr.Row(visible=False, elem_id="menu-ask") as line:
            html(markup.quiet("Put LoRA Studio into your applications menu?"))
            yes = gr.Button("Yes", size="sm", scale=0, min_width=70, elem_id="menu-yes")
            no = gr.Button("No thanks", size="sm", scale=0, min_width=90, elem_id="menu-no")
        said = html(elem_id="menu-said")

    def answer(wanted: bool) -> Changes:
        made = menu.answer(studio, wanted)
        words = f"It is in your applications menu now. To take it out, type: {OUT}" if made else ""
        return {line: gr.update(visible=False), said: markup.quiet(words) if words else ""}

    window.load(lambda: gr.update(visible=menu.is_to_ask(studio)), None, line, **LIGHT)
    for button, wanted in ((yes, True), (no, False)):
        answered = button.click(noticed(said, functools.partial(answer, wanted)), None, [line, said], **LIGHT)
        answered.then(None, js="() => studio.after(['#menu-said p', '#check-studio'])", **HIDDEN)
