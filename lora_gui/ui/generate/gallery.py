"""What is being drawn, and all that was drawn: one drawing large, the others by day below, searched and paged."""

import os
from collections.abc import Callable
from typing import Any

import gradio as gr

from lora_gui.errors import UserError
from lora_gui.studio import again
from lora_gui.studio.library import folder, history
from lora_gui.studio.tasks.drawing import Waiting
from lora_gui.ui.context import Context
from lora_gui.ui.generate import quick, under_way, wall
from lora_gui.ui.generate.sheets import SheetView
from lora_gui.ui.widgets import markup
from lora_gui.ui.widgets.handlers import HIDDEN, LIGHT, Changes, takes_long
from lora_gui.ui.widgets.parts import PRESSES, html
from lora_gui.ui.widgets.thumbnails import Thumbnails

SOON = 0.3  # seconds in which a drawing may end before its frame is shown: one that is quicker needs none
AT_ONCE = 0.3  # seconds that drawings are read for before the page shows what there is


class Gallery:
    """Lays itself out where it is made. `stage.input` brings the `name` of a drawing that is to be used."""

    def __init__(self, context: Context, remark: gr.HTML) -> None:
        self._context, self._studio, self._remark = context, context.studio, remark
        with gr.Column(elem_id="stage"):
            self.stage = html(wall.STAGE, js_on_load=wall.SCRIPT.read_text(encoding="utf-8"), elem_id="shown")
            with gr.Column(visible=False, elem_id="easel") as self._easel:
                self._preview = html(elem_id="preview")
                self._behind = html(js_on_load=PRESSES, elem_id="behind")
                self._cancel = gr.Button("Cancel", scale=0, min_width=110, elem_id="cancel")
            self.sheets = SheetView(context)
        self.sheets.below()
        self._said = html(js_on_load=PRESSES, elem_id="history-said")
        with gr.Row(elem_id="history-filters"):
            self._words = gr.Textbox(
                "", label="Search", show_label=False, placeholder="Search your drawings: words, LoRAs, base, seed",
                max_lines=1, scale=3, min_width=200, elem_id="history-search",
            )  # fmt: skip
            self._star = gr.Checkbox(False, label="With a star", scale=0, min_width=110, elem_id="history-star")
        self._gallery = html(js_on_load=PRESSES, elem_id="gallery")
        self._page = gr.JSON({}, visible=False)  # how the orders stood that this page shows, and the page of the wall
        self._wish = [self._words, self._star]
        own = [self._easel, self._preview, self._behind, self._remark, self._said, self._gallery, self._page]
        self.outputs = [*own, *self.sheets.outputs]
        self._acts: dict[str, Callable[[str], str]] = {
            "star": self._starred,
            "delete": self._deleted,
            "restore": self._restored,
            "folder": self._opened,
            "enlarge": self._enlarged,
            "earlier": lambda id: self._moved(id, -1),
            "later": lambda id: self._moved(id, 1),
            "remove": self._removed,
        }

    def connect(self, tab: gr.Tab) -> None:
        live = self._context.live
        live.watch(self._look, [self._page, *self._wish], self.outputs)
        live.after(self._cancel.click(self._cancelled, None, None, **HIDDEN), "#draw")
        tab.select(self._read_on, [self._page, *self._wish], self.outputs, **HIDDEN)
        self._words.change(self._sought, [self._page, *self._wish], self.outputs, **LIGHT)
        self._star.change(self._sought, [self._page, *self._wish], self.outputs, **LIGHT)
        for part in (self.stage, self._gallery, self._said, self._behind):
            each: dict[str, Any] = HIDDEN | {"trigger_mode": "multiple"}  # each press counts
            pressed = part.select(self._acted, [self._page, *self._wish], self.outputs, **each)
            live.after(pressed, ".shown [data-do=delete]" if part is self._said else "#cancel", "#draw")

    def _look(self, page: dict[str, Any], words: str, star: bool) -> Changes:
        """What has changed since this page last looked; a page that was just opened gets all there is.

        Whatever shows that something is drawn changes here alone: looks never overtake each other, other answers do.
        """
        drawer, page = self._context.drawer, page or {}
        waiting = self._own(drawer.waiting())
        if waiting and waiting[0].id not in page.get("waiting", []):
            drawer.await_end(waiting[0].id, SOON)
            waiting = self._own(drawer.waiting())
        ended = [one.id for one in self._own(drawer.ended())]
        status = drawer.status(waiting[0].id) if waiting else None
        seen = [status.phase, status.part, status.step] if status else []
        drawn = [*ended, status.done if status else 0]
        mark = {"waiting": [one.id for one in waiting], "drawn": drawn, "seen": seen, "wish": _wish(words, star)}
        if {key: page.get(key) for key in mark} == mark:
            return {}
        # an answer to what was pressed a moment before a search may come after the search's own
        is_new = page.get("drawn") != drawn or page.get("wish") != mark["wish"]
        if is_new:
            has_ended = not {*ended} <= {*page.get("drawn", [])}  # then what was just drawn stands first
            changes = self._listed(page | mark, words, star, 1 if has_ended else int(page.get("number", 1)))
        else:
            changes = {self._page: page | mark}
        # drawn anew only then, so that its buttons can be pressed; a quick order may have come and gone between looks
        if is_new or page.get("waiting") != mark["waiting"]:
            changes |= {self._easel: gr.update(visible=bool(waiting)), self._behind: under_way.behind(waiting)}
        return changes | {
            self._remark: self._remarks(ended), self._preview: under_way.preview(status) if status else ""
        }

    def _own(self, orders: list[Waiting]) -> list[Waiting]:
        """Those that come to the wall; others belong to sheets and proofs."""
        return [one for one in orders if one.folder.parent == self._studio.drawings.resolve()]

    def _remarks(self, ended: list[str]) -> str:
        """What is to be said of the orders that have ended: what failed, and what is worth knowing."""
        found = [self._context.drawer.status(id) for id in ended]
        problems = dict.fromkeys(markup.notice(one.what, one.remedy) + quick.instead(one.instead) for one in found)
        notes = dict.fromkeys(note for one in found for note in one.notes)
        return "".join(problems) + markup.sentences("Worth knowing", [*notes])

    def _listed(
        self,
        page: dict[str, Any],
        words: str,
        star: bool,
        number: int = 1,
        seconds: float | None = AT_ONCE,
        pressed: str | None = "",
    ) -> Changes:
        """One page of the drawings that fit, as the folders are now.

        Whatever is looked for, the newest drawing and the one that was `pressed` are told of too, so that they stay
        where they are shown large; not where another page or search was asked for (None), of which the first is shown.
        """
        there, left = history.history(self._studio, seconds)
        found = history.wanted(there, words or "", bool(star))
        shown = wall.page(found, number, Thumbnails(self._studio), self._studio.drawings)
        if there and not found:
            shown = markup.quiet(wall.NONE_FIT, aloud=True)
        if pressed is not None and (there or pressed):
            kept = [one for one in there if one.name == pressed]
            shown += wall.beside([*there[:1], *kept], "" if kept else pressed, self._studio.drawings)
        return {self._gallery: shown, self._page: page | {"number": number, "left": left, "wish": _wish(words, star)}}

    def _sought(self, page: dict[str, Any], words: str, star: bool) -> Changes:
        return self._listed(page or {}, words, star, pressed=None)

    @takes_long
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
            return self._listed(page, words, star, int(name) if name.isdecimal() else 1, pressed=None) | {
                self._said: ""
            }
        try:
            said = self._acts[act](name)
        except UserError as error:  # mostly because the drawing is not there any more, which the wall then shows
            said = markup.problem(error)
        return self._listed(page, words, star, int(page.get("number", 1)), pressed=name) | {self._said: said}

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

    def _enlarged(self, name: str) -> str:
        """Order the drawing twice as large; what could not be carried over of how it was made."""
        larger = again.enlarged(self._studio, history.place(self._studio, name))
        draft = self._context.drafts.draw.value
        self._context.drawer.order(larger.base, larger.settings, on_processor=draft.on_processor)
        return markup.notice(" ".join(larger.left), kind="note")

    def _moved(self, id: str, by: int) -> str:
        self._context.drawer.move(id, by)
        return ""

    def _removed(self, id: str) -> str:
        self._context.drawer.cancel(id)
        return ""

    def _cancelled(self) -> None:
        for one in self._own(self._context.drawer.waiting())[:1]:
            self._context.drawer.cancel(one.id)


def _wish(words: str, star: bool) -> list[str | bool]:
    """What is searched for, as the page keeps it."""
    return [words or "", bool(star)]
