"""Which LoRAs learnt from this picture? Asked with a picture at the foot of the library, answered by its pixels."""

from pathlib import Path

import gradio as gr

from lora_gui.errors import UserError
from lora_gui.studio.library import origins
from lora_gui.studio.paths import Studio
from lora_gui.ui.widgets import markup
from lora_gui.ui.widgets.handlers import HIDDEN
from lora_gui.ui.widgets.parts import html


def build(studio: Studio) -> None:
    """Lay it out and connect it."""
    with gr.Row(elem_classes="under", elem_id="learnt"):
        asked = gr.UploadButton(
            "Which LoRAs learnt from a picture?", size="sm", scale=0, min_width=270, elem_id="learnt-from",
            file_types=["image"],
        )  # fmt: skip
    told = html(elem_id="learnt-told")
    asked.upload(lambda file: answer(studio, Path(file)), [asked], [told], **HIDDEN)


def answer(studio: Studio, picture: Path) -> str:
    """The LoRAs that learnt from a picture, and who says so; or that none did."""
    try:
        found = origins.learnt_from(studio, origins.digest_of(picture))
    except UserError as error:
        return markup.problem(error)
    if not found:
        alike = "A copy in another size, or saved with loss, counts as another picture."
        return markup.notice("None of your LoRAs learnt from this picture.", alike, "note")
    rows = [f"{one.lora or 'A run without a LoRA'}, {_by(one)}" for one in found]
    return markup.sentences(f"{markup.counted(len(rows), 'LoRA')} learnt from this picture", rows)


def _by(one: origins.LearntFrom) -> str:
    return f"by its run {one.run}" if one.by == "run" else "as its own card says"
