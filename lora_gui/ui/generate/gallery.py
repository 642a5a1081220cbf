"""What is being drawn, and what was drawn: the preview grows while one watches, the drawings hang below."""

from typing import Any

import gradio as gr

from lora_gui.studio.tasks import drawing
from lora_gui.studio.tasks.drawing import DrawStatus
from lora_gui.ui.context import Context
from lora_gui.ui.widgets import markup, thumbnails
from lora_gui.ui.widgets.handlers import HIDDEN, LIGHT, Changes
from lora_gui.ui.widgets.parts import html

SECONDS = 0.5  # between two looks at an order
RECENT = 24
EMPTY = """<div class="nothing"><p><b>Nothing drawn yet</b></p>
<p class="quiet">Write what you want to see and press Draw. Your drawings stay here.</p></div>"""


class Gallery:
    """Lays itself out where it is made."""

    def __init__(self, context: Context) -> None:
        self._context = context
        with gr.Column(visible=False, elem_id="easel") as self._easel:
            self._preview = html(elem_id="preview")
            self._cancel = gr.Button("Cancel", scale=0, min_width=110, elem_id="cancel")
        self._remark = html(elem_id="draw-remark")
        self._gallery = gr.Gallery(
            label="Drawings",
            show_label=False,
            columns=3,
            object_fit="contain",
            interactive=False,
            format="png",
            height="auto",
            elem_id="gallery",
            buttons=["download", "fullscreen"],
        )
        self._empty = html(EMPTY, elem_id="no-drawings")
        self._timer = gr.Timer(SECONDS, active=False)
        self.outputs = [self._easel, self._preview, self._remark, self._gallery, self._empty, self._timer]

    def connect(self, load: Any) -> None:
        load(self._opened, None, self.outputs, **LIGHT)
        self._timer.tick(self._look, None, self.outputs, **LIGHT)
        self._cancel.click(self._cancelled, None, self.outputs, **HIDDEN)

    def watch(self) -> Changes:
        """Show the latest order, and look again and again until it has ended."""
        return {
            self._easel: gr.update(visible=True),
            self._empty: gr.update(visible=False),
            self._remark: "",
            self._timer: gr.Timer(active=True),
        } | self._look()

    def _look(self) -> Changes:
        """How the latest order stands; the gallery comes anew only when it has ended."""
        status = self._context.drawer.status(self._context.order)
        if not status.ended:
            return {self._preview: _preview(status)}
        return self._drawn() | {
            self._easel: gr.update(visible=False),
            self._remark: markup.notice(status.what, status.remedy) + markup.sentences("Worth knowing", status.notes),
            self._timer: gr.Timer(active=False),
        }

    def _opened(self) -> Changes:
        return self._drawn() | (self.watch() if self._context.order else {})

    def _drawn(self) -> Changes:
        found = drawing.recent(self._context.studio, RECENT)
        return {
            self._gallery: gr.update(value=[str(path) for path in found], visible=bool(found)),
            self._empty: gr.update(visible=not found),
        }

    def _cancelled(self) -> Changes:
        self._context.drawer.cancel(self._context.order)
        return self._look()


def _preview(status: DrawStatus) -> str:
    picture = thumbnails.inline(status.preview) if status.preview else ""
    image = f'<img src="{picture}" alt="The drawing so far">' if picture else '<div class="canvas"></div>'
    share = (status.done + (status.step / status.steps if status.steps else 0)) / max(status.of, 1)
    counting = f"Drawing {min(status.done + 1, status.of)} of {status.of}" if status.of > 1 else "Drawing"
    words = "Starting" if status.state == "queued" else status.phase or counting
    steps = f"step {status.step} of {status.steps}" if status.steps and not status.phase else ""
    return f"{image}{markup.bar(share if status.steps or status.done else -1.0, words, steps)}"
