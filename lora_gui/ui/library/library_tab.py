"""The tab where LoRAs are kept in order: cards that are searched, filtered and sorted, and each of them opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from lora_gui.studio.library import bin, changes, covers, shelf
from lora_gui.studio.library.shelf import Card, Shelf, Wish
from lora_gui.ui.context import Context
from lora_gui.ui.library import cards, learnt_view
from lora_gui.ui.library.bring_view import BringView
from lora_gui.ui.library.opened import Opened
from lora_gui.ui.widgets import markup
from lora_gui.ui.widgets.handlers import HIDDEN, LIGHT, Changes, noticed, takes_long
from lora_gui.ui.widgets.parts import ACTS, html
from lora_gui.ui.widgets.thumbnails import Thumbnails

AT_ONCE = 0.3  # seconds that new files are read for before the page shows what there is
ORIGINS = [("All LoRAs", ""), ("Made here", "made"), ("Brought", "brought")]
SORTS = [("Newest first", "newest"), ("By name", "name"), ("Used last", "used")]
ALL_FAMILIES, ALL_TAGS = ("All families", ""), ("All tags", "")


def build(context: Context, tab: gr.Tab) -> None:
    """Lay the tab out and connect it; what it lists is read when it is opened."""
    with gr.Column(elem_classes="page"):
        with gr.Column(elem_id="shelf") as listed:
            bring = BringView(context)
            view = _Shelf(context)
            learnt_view.build(context.studio)
        opened = Opened(context, listed)
    bring.connect()
    view.connect(tab, opened)
    context.last.append(lambda: opened.connect(view.notice))

    def to_lora(path: str) -> Changes:
        tabs = {context.tabs: gr.update(selected="library")}
        return tabs | (opened.show(Path(path)) if path else opened.away() | view.listed())

    context.to_lora = to_lora
    context.library = [context.tabs, *opened.outputs, *view.outputs]


class _Shelf:
    """Lays itself out where it is made."""

    def __init__(self, context: Context) -> None:
        self._context, self._studio = context, context.studio
        with gr.Row(elem_id="library-filters"):
            self._words = gr.Textbox(
                "", label="Search", show_label=False, placeholder="Search names, triggers, notes and tags", max_lines=1,
                scale=3, min_width=220, elem_id="library-search",
            )  # fmt: skip
            self._family = _choice([ALL_FAMILIES], "Family", "library-family")
            self._origin = _choice(ORIGINS, "Where from", "library-origin")
            self._tag = _choice([ALL_TAGS], "Tag", "library-tag")
            self._sort = _choice(SORTS, "Order", "library-sort")
            self._star = gr.Checkbox(False, label="With a star", scale=0, min_width=110, elem_id="library-star")
        self.notice = html(js_on_load=ACTS, elem_id="library-notice")
        self._cards = html(js_on_load=ACTS, elem_id="library-cards")
        self._bin = html(js_on_load=ACTS, elem_id="library-bin")
        self._page = gr.JSON({}, visible=False)  # which page is shown, of which state of the folders
        filters = (self._family, self._origin, self._star, self._tag, self._sort)
        self._wish: list[gr.Textbox | gr.Dropdown | gr.Checkbox] = [self._words, *filters]
        self.outputs: list[Any] = [self.notice, self._cards, self._bin, self._page, self._family, self._tag]
        self._acts: dict[str, Callable[[str], Changes]] = {
            "star": self._starred,
            "delete": self._deleted,
            "restore": self._restored,
            "empty": self._emptied,
        }

    def connect(self, tab: gr.Tab, opened: Opened) -> None:
        live = self._context.live
        shown = tab.select(self.listed, self._wish, self.outputs, **LIGHT)
        shown.then(self._read_on, [self._page, *self._wish], self.outputs, **HIDDEN)
        for field in self._wish:
            # gradio sends `input` of a text at key presses alone: Backspace or a paste would not search
            field.change(lambda *wish: self.listed(*wish), self._wish, self.outputs, **LIGHT)
        live.watch(self._look, [self._page, *self._wish], self.outputs)
        outputs = [*self.outputs, *opened.outputs]

        def pressed(event: gr.EventData, *wish: Any) -> Changes:
            act, name = str(event.act), str(event.name)
            if act == "open":
                return opened.show(self._studio.loras / Path(name).name)
            if act == "turn":
                return self.listed(*wish, number=int(name) if name.isdecimal() else 1)
            said = self._acts[act](name)
            return self.listed(*wish) | said

        for part in (self.notice, self._cards, self._bin):
            chosen = part.select(noticed(self.notice, pressed), self._wish, outputs, **HIDDEN)
            live.after(chosen, "#lora .run-name", "#library-search input")

    def listed(self, *wish: Any, number: int = 1, seconds: float | None = AT_ONCE) -> Changes:
        """The cards that fit, as the folders are now."""
        mark = self._mark()  # first: what comes meanwhile is looked at once more
        there, chosen = shelf.shelf(self._studio, seconds), _wish(wish)
        fitting = _possible(there, chosen)
        found = shelf.wanted(there.cards, fitting)
        address = Thumbnails(self._studio)
        if there.cards or there.left:
            shown = cards.page(found, number, lambda one: self._cover(one, address), there.left)
            shown = shown if found or there.left else markup.quiet(cards.NONE_FIT, aloud=True)
        else:
            shown = cards.place(self._studio.loras)
        return {
            self._cards: shown + address.remark(),
            self._bin: cards.bin(bin.everything(self._studio)),
            self._page: {"mark": mark, "number": number, "left": there.left},
            self._family: _offered(ALL_FAMILIES, there.families, chosen.family, fitting.family),
            self._tag: _offered(ALL_TAGS, {tag: tag for tag in there.tags}, chosen.tag, fitting.tag),
        }

    @takes_long
    def _read_on(self, page: dict[str, Any], *wish: Any) -> Any:
        """The rest of the files, and the covers that strangers' files bring, which take longer."""
        there = shelf.shelf(self._studio)
        number = int((page or {}).get("number", 1))
        found = shelf.wanted(there.cards, _possible(there, _wish(wish)))
        shown = found[(number - 1) * cards.A_PAGE : number * cards.A_PAGE]
        if covers.decode(self._studio, shown) or (page or {}).get("left"):
            return self.listed(*wish, number=number)
        return gr.skip()

    def _look(self, page: dict[str, Any], *wish: Any) -> Changes:
        """The cards anew, where the page shows them and something was added or taken away."""
        if not page or page.get("mark") == self._mark():
            return {}
        return self.listed(*wish, number=int(page.get("number", 1)))

    def _mark(self) -> list[int]:
        """What changes when a file comes, goes or gets another name; read quickly."""
        return [_changed(place) for place in (self._studio.loras, self._studio.library, self._studio.bin)]

    def _cover(self, card: Card, address: Thumbnails) -> str:
        picture = covers.cover(self._studio, card)
        return address(picture) if picture else ""

    def _find(self, name: str) -> tuple[Card, Shelf]:
        there = shelf.shelf(self._studio)
        return shelf.named(self._studio, there, name), there

    def _starred(self, name: str) -> Changes:
        card, _ = self._find(name)
        changes.note(self._studio, card, star=not card.notes.star)
        return {}

    def _deleted(self, name: str) -> Changes:
        return {self.notice: cards.deleted(bin.delete(self._studio, self._studio.loras / Path(name).name))}

    def _restored(self, name: str) -> Changes:
        one = bin.find(self._studio, name, bin.KINDS)
        path = bin.restore(self._studio, one)
        words = path.stem if one.kind == bin.LORA else f"The {one.kind}"
        return {self.notice: markup.notice(f"{words} is back.", kind="note")}

    def _emptied(self, _: str) -> Changes:
        bin.empty(self._studio)
        return {}


def _choice(choices: list[tuple[str, str]], label: str, id: str) -> gr.Dropdown:
    # What a page still asks for may be gone, and gradio refuses every event that brings a value it does not offer.
    return gr.Dropdown(
        choices, value=choices[0][1], label=label, show_label=False, scale=1, min_width=136, elem_id=id,
        allow_custom_value=True,
    )  # fmt: skip


def _offered(every: tuple[str, str], there: dict[str, str], chosen: str, possible: str) -> Any:
    """The choices of a filter, by what each is called; another one is chosen only where what was is not possible."""
    value: Changes = {} if possible == chosen else {"value": possible}
    return gr.update(choices=[every, *((title, key) for key, title in there.items())], **value)


def _possible(there: Shelf, wish: Wish) -> Wish:
    """Without a family or a tag that no LoRA has; one that a file which is still to be read may have stays."""
    if there.left:
        return wish
    family = wish.family if wish.family in there.families else ""
    return replace(wish, family=family, tag=wish.tag if wish.tag in there.tags else "")


def _wish(given: tuple[Any, ...]) -> Wish:
    words, family, origin, star, tag, sort = given or ("", "", "", False, "", "newest")
    return Wish(words or "", family or "", origin or "", bool(star), tag or "", sort or "newest")


def _changed(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0
