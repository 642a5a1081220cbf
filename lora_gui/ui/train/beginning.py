"""A line on Train where a LoRA is trained further: which one, and the way back to a new one."""

from pathlib import Path

import gradio as gr

from lora_gui.ui.draft import TrainDraft
from lora_gui.ui.widgets import markup
from lora_gui.ui.widgets.parts import PRESSES, html


def build() -> gr.HTML:
    """`select` asks to begin anew."""
    return html(js_on_load=PRESSES, elem_id="beginning")


def words(draft: TrainDraft) -> str:
    """Which LoRA the draft goes on from; empty where it begins anew."""
    if not draft.begin_from:
        return ""
    name = markup.text(Path(draft.begin_from).stem)
    anew = '<button type="button" class="chip" data-act="anew">Begin anew</button>'
    return f'<p class="beginning">Goes on from the weights of <b>{name}</b>, with its rank and alpha. {anew}</p>'
