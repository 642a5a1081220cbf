"""What is being drawn, and all that was drawn: one drawing large, the others by day below, searched and paged."""

import os
from collections.abc import Callable
from typing import Any

import gradio as gr

from lora_gui.studio.library import folder, history
from lora_gui.studio.tasks.drawing import DrawStatus
from lora_gui.ui.context import Context
from lora_gui.ui.generate import wall
from lora_gui.ui.generate.sheets import SheetView
from lora_gui.ui.widgets import markup, thumbnails
from lora_gui.ui.widgets.handlers import HIDDEN, LIGHT, Changes, noticed
from lora_gui.ui.widgets.parts import html
from lora_gui.ui.widgets.thumbnails import Thumbnails

AT_ONCE = 0.3  # seconds that drawings are read for before the page shows what there is


class Gallery:
    """Lays itself out where it is made. `stage.input` brings the `name` of a drawing that is to be used."""

    def __init__(self, context: Context, remark: gr.HTML) -> None:
        self._context, self._studio, self._remark = context, context.studio, remark
        with gr.Column(elem_id="stage"):
            self.stage = html(wall.STAGE, js_on_load=wall.SCRIPT.read_text(encoding="utf-8"), elem_id="shown")
            with gr.Column(visible=False, elem_id="easel") as self._easel:
                self._preview = html(elem_id="preview")
                self._cancel = gr.Button("Cancel", scale=0, min_width=110, elem_id="cancel")
            self.sheets = SheetView(context)
        self.sheets.below()
        self._said = html(js_on_load=wall.ACTS, elem_id="history-said")
        with gr.Row(elem_id="history-filters"):
            self._words = gr.Textbox(
                "", label="Search", show_label=False, placeholder="Search your drawings: words, LoRAs, base, seed",
                max_lines=1, scale=3, min_width=200, elem_id="history-search",
            )  # fmt: skip
            self._star = gr.Checkbox(False, label="With a star", scale=0, min_width=110, elem_id="history-star")
        self._gallery = html(js_on_load=wall.ACTS, elem_id="gallery")
        self._page = gr.JSON({}, visible=False)  # which order this page shows, how it stood, and the page of the wall
        self._wish = [self._words, self._star]
        own = [self._easel, self._preview, self._remark, self._said, self._gallery, self._page]
        self.outputs = [*own, *self.sheets.outputs]
        self._acts: dict[str, Callable[[str], str]] = {
            "star": self._starred,
            "delete": self._deleted,
            "restore": self._restored,
            "folder": self._opened,
        }

    def connect(self, tab: gr.Tab) -> None:
        live = self._context.live
        live.watch(self._look, [self._page, *self._wish], self.outputs)
        live.after(self._cancel.click(self._cancelled, None, None, **HIDDEN), "#draw")
        tab.select(self._read_on, [self._page, *self._wish], self.outputs, **HIDDEN)
        self._words.input(self._sought, [self._page, *self._wish], self.outputs, **LIGHT)
        self._star.change(self._sought, [self._page, *self._wish], self.outputs, **LIGHT)
        for part in (self.stage, self._gallery, self._said):
            acted = noticed(self._said, self._acted)
            part.select(acted, [self._page, *self._wish], self.outputs, **HIDDEN)

    def watch(self) -> Changes:
        """Show the latest order from its beginning."""
        seen = {self._easel: gr.update(visible=True), self._remark: ""} | self._ordered({}, "", False)
        return seen | self.sheets.aside()

    def _look(self, page: dict[str, Any], words: str, star: bool) -> Changes:
        """What has changed since this page last looked; a page that was just opened gets all there is."""
        page = page or {}
        if not self._context.order:
            return {} if page else self._listed({"order": ""}, words, star)
        if page.get("order") == self._context.order:
            return self._ordered(page, words, star) if not page.get("ended") else {}
        return self._listed(page, words, star) | self.watch()

    def _ordered(self, page: dict[str, Any], words: str, star: bool) -> Changes:
        """How the latest order stands; the wall comes anew whenever a drawing is done."""
        status = self._context.drawer.status(self._context.order)
        mark = {"order": self._context.order, "ended": status.ended, "seen": [status.phase, status.done, status.step]}
        if {key: page.get(key) for key in mark} == mark:
            return {}
        if not status.ended:
            return {self._preview: _preview(status), self._page: page | mark}
        return self._listed(mark, words, star) | {
            self._easel: gr.update(visible=False),
            self._remark: markup.notice(status.what, status.remedy) + markup.sentences("Worth knowing", status.notes),
        }

    def _listed(
        self, page: dict[str, Any], words: str, star: bool, number: int = 1, seconds: float | None = AT_ONCE
    ) -> Changes:
        """One page of the drawings that fit, as the folders are now."""
        there, left = history.history(self._studio, seconds)
        found = history.wanted(there, words or "", bool(star))
        shown = wall.page(found, number, Thumbnails(self._studio), self._studio.drawings)
        if there and not found:
            shown = markup.quiet(wall.NONE_FIT)
        return {self._gallery: shown, self._page: page | {"number": number, "left": left}}

    def _sought(self, page: dict[str, Any], words: str, star: bool) -> Changes:
        return self._listed(page or {}, words, star)

    def _read_on(self, page: dict[str, Any], words: str, star: bool) -> Any:
        """The rest of the drawings, where there was no time for all of them."""
        page = page or {}
        if not page.get("left"):
            return gr.skip()
        return self._listed(page, words, star, int(page.get("number", 1)), seconds=None)

    def _acted(self, event: gr.EventData, page: dict[str, Any], words: str, star: bool) -> Changes:
        """What was pressed at a drawing, or a page that was turned."""
        act, name, page = str(event.act), str(event.name), page or {}
        if act == "turn":
            return self._listed(page, words, star, int(name) if name.isdecimal() else 1)
        said = self._acts[act](name)
        return self._listed(page, words, star, int(page.get("number", 1))) | {self._said: said}

    def _starred(self, name: str) -> str:
        history.star(self._studio, name)
        return ""

    def _deleted(self, name: str) -> str:
        return wall.deleted(history.delete(self._studio, name))

    def _restored(self, binned: str) -> str:
        history.restore(self._studio, binned)
        return markup.notice("The drawing is back.", kind="note")

    def _opened(self, name: str) -> str:
        folder.show(history.place(self._studio, name), os.environ)
        return ""

    def _cancelled(self) -> None:
        self._context.drawer.cancel(self._context.order)


def _preview(status: DrawStatus) -> str:
    picture = thumbnails.inline(status.preview) if status.preview else ""
    image = f'<img src="{picture}" alt="The drawing so far">' if picture else '<div class="canvas"></div>'
    share = (status.done + (status.step / status.steps if status.steps else 0)) / max(status.of, 1)
    counting = f"Drawing {min(status.done + 1, status.of)} of {status.of}" if status.of > 1 else "Drawing"
    words = "Starting" if status.state == "queued" else status.phase or counting
    steps = f"step {status.step} of {status.steps}" if status.steps and not status.phase else ""
    return f"{image}{markup.bar(share if status.steps or status.done else -1.0, words, steps)}"
