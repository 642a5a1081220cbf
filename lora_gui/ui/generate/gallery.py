"""What is being drawn, and what was drawn: the preview grows while one watches, the drawings hang below."""

import re
from pathlib import Path
from typing import Any

import gradio as gr

from lora_gui.studio.tasks.drawing import DrawStatus
from lora_gui.studio.things import drawings
from lora_gui.ui.context import Context
from lora_gui.ui.widgets import markup, thumbnails
from lora_gui.ui.widgets.handlers import HIDDEN, Changes
from lora_gui.ui.widgets.parts import html

RECENT = 24
EMPTY = """<div class="nothing"><p><b>Nothing drawn yet</b></p>
<p class="quiet">Write what you want to see and press Draw. Your drawings stay here.</p></div>"""


class Gallery:
    """Lays itself out where it is made."""

    def __init__(self, context: Context, remark: gr.HTML) -> None:
        self._context, self._remark = context, remark
        with gr.Column(visible=False, elem_id="easel") as self._easel:
            self._preview = html(elem_id="preview")
            self._cancel = gr.Button("Cancel", scale=0, min_width=110, elem_id="cancel")
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
        self._page = gr.JSON({}, visible=False)  # which order this page shows, and how it stood
        self.outputs = [self._easel, self._preview, self._remark, self._gallery, self._empty, self._page]

    def connect(self) -> None:
        live = self._context.live
        live.watch(self._look, [self._page], self.outputs)
        live.after(self._cancel.click(self._cancelled, None, None, **HIDDEN), "#draw")

    def watch(self) -> Changes:
        """Show the latest order from its beginning."""
        return {
            self._easel: gr.update(visible=True),
            self._empty: gr.update(visible=False),
            self._remark: "",
        } | self._ordered({})

    def _look(self, page: dict[str, Any]) -> Changes:
        """What has changed since this page last looked; a page that was just opened gets all there is."""
        page = page or {}
        if not self._context.order:
            return {} if page else self._drawn() | {self._page: {"order": ""}}
        if page.get("order") == self._context.order:
            return self._ordered(page) if not page.get("ended") else {}
        return self._drawn() | self.watch()

    def _ordered(self, page: dict[str, Any]) -> Changes:
        """How the latest order stands; the gallery comes anew only when it has ended."""
        status = self._context.drawer.status(self._context.order)
        mark = {"order": self._context.order, "ended": status.ended, "seen": [status.phase, status.done, status.step]}
        if page == mark:
            return {}
        if not status.ended:
            return {self._preview: _preview(status), self._page: mark}
        return self._drawn() | {
            self._easel: gr.update(visible=False),
            self._remark: markup.notice(status.what, status.remedy) + markup.sentences("Worth knowing", status.notes),
            self._page: mark,
        }

    def _drawn(self) -> Changes:
        found = drawings.recent(self._context.studio, RECENT)
        return {
            self._gallery: gr.update(value=[(str(path), _told(path)) for path in found], visible=bool(found)),
            self._empty: gr.update(visible=not found),
        }

    def _cancelled(self) -> None:
        self._context.drawer.cancel(self._context.order)


def _words(record: str) -> str:
    """`a red apple, seed 7` of the text in which a drawing says how it was made."""
    prompt = re.split(r"\n(?:Negative prompt|Steps): ", record)[0]
    seed = re.search(r"\bSeed: (\d+)", record.rsplit("\n", 1)[-1])
    return re.sub(r"\s*<lora:[^>]*>", "", prompt).strip() + (f", seed {seed[1]}" if seed else "")


def _told(path: Path) -> str:
    """Prompt and seed of a drawing, for those who hear and for those who look closely."""
    return _words(drawings.record(path)) or path.stem


def _preview(status: DrawStatus) -> str:
    picture = thumbnails.inline(status.preview) if status.preview else ""
    image = f'<img src="{picture}" alt="The drawing so far">' if picture else '<div class="canvas"></div>'
    share = (status.done + (status.step / status.steps if status.steps else 0)) / max(status.of, 1)
    counting = f"Drawing {min(status.done + 1, status.of)} of {status.of}" if status.of > 1 else "Drawing"
    words = "Starting" if status.state == "queued" else status.phase or counting
    steps = f"step {status.step} of {status.steps}" if status.steps and not status.phase else ""
    return f"{image}{markup.bar(share if status.steps or status.done else -1.0, words, steps)}"
