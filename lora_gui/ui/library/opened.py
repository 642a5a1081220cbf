"""One LoRA that was opened: what it is, what can be done with it, and what can be changed of it."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.studio.library import bin, changes, covers, folder, notes, scan, shelf
from lora_gui.studio.library.shelf import Card, Shelf
from lora_gui.studio.library.versions import put_into_use, versions
from lora_gui.ui.context import Context
from lora_gui.ui.library import cards, onward
from lora_gui.ui.library import opened_words as words
from lora_gui.ui.library.sections import SECTIONS
from lora_gui.ui.widgets import markup
from lora_gui.ui.widgets.handlers import HIDDEN, LIGHT, Changes, noticed, while_kept
from lora_gui.ui.widgets.parts import ACTS, html
from lora_gui.ui.widgets.thumbnails import Thumbnails

FOLLOW = "watch('value', () => element.querySelector('a')?.click());"  # what is to be saved is asked for at once
Page = dict[str, Any]  # {"path": of the LoRA that the page shows}; empty shows none


class Opened:
    """Takes the place of `listed` while it is shown. Lays itself out where it is made."""

    def __init__(self, context: Context, listed: gr.Column) -> None:
        self._context, self._studio, self._listed = context, context.studio, listed
        self._noting = threading.Lock()  # notes are read, changed and written
        self.page = gr.JSON({}, visible=False)
        with gr.Column(visible=False, elem_id="lora", elem_classes="run") as self._panel:
            self._back = _button("All LoRAs", "lora-back", 120, "sm")
            self._head = html(js_on_load=ACTS, elem_id="lora-head")
            self._notice = html(elem_id="lora-notice")
            self._build_acts()
            self._drawings = html(elem_id="lora-drawings")
            self._build_fields()
            self._versions = html(js_on_load=ACTS, elem_id="lora-versions")
            self._sections = [build(context) for build in SECTIONS]
        typed = [self._name, self._title, self._trigger, self._strength, self._description, self._notes, self._tags]
        shown = [self._head, self._drawings, self._versions, self._run, self._asking, self._frees, *self._notices]
        self.outputs: list[Any] = [listed, self._panel, self.page, *shown, *typed]
        self.outputs += [output for section in self._sections for output in section.outputs]

    @property
    def _notices(self) -> list[gr.HTML]:
        """Each beside what was pressed, so that it is in sight."""
        return [self._notice, self._named, self._written, self._kept]

    def _build_acts(self) -> None:
        with gr.Row(elem_classes="under"):
            self._draw = gr.Button("Draw with it", variant="primary", scale=0, min_width=150, elem_id="lora-draw")
            self._further = _button("Train further from it", "lora-further", 190)
            self._again = _button("Use these settings again", "lora-again", 210)
            self._run = _button("Open its run", "lora-run", 130)
        with gr.Row(elem_classes="under"):
            self._folder = _button("Show in folder", "lora-folder", 140, "sm")
            self._download = _button("Download", "lora-download", 110, "sm")
            self._delete = _button("Delete", "lora-delete", 90, "sm")
            self._link = html(js_on_load=FOLLOW, elem_id="lora-link")
        with gr.Row(visible=False, elem_classes="under", elem_id="lora-asking") as self._asking:
            self._frees = html()
            self._sure = _button("Put it into the bin", "lora-sure", 160, "sm")
            self._keep = _button("Keep it", "lora-keep", 100, "sm")

    def _build_fields(self) -> None:
        with gr.Row(elem_classes="lora-fields"):
            with gr.Column(min_width=280, elem_id="lora-file"):
                self._name = gr.Textbox("", label="Name", info="Also of its file.", max_lines=1, elem_id="lora-name")
                self._rename = _button("Rename", "lora-rename", 110, "sm")
                self._named = html(elem_id="lora-named")
                html('<h3 class="group">In the file</h3>' + markup.quiet("Whoever gets the file can read this."))
                self._title = gr.Textbox("", label="Title", max_lines=1, elem_id="lora-title")
                self._trigger = gr.Textbox("", label="Trigger word", max_lines=1, elem_id="lora-trigger")
                self._strength = gr.Number(
                    0, label="Best strength", info="0: not said.", step=0.05, elem_id="lora-strength"
                )
                self._description = gr.Textbox(
                    "", label="What it does", lines=3, max_lines=8, elem_id="lora-description"
                )
                self._save = _button("Save in the file", "lora-save", 150, "sm")
                self._written = html(elem_id="lora-written")
            with gr.Column(min_width=280, elem_id="lora-own"):
                html('<h3 class="group">Only for you</h3>' + markup.quiet("Never in the file; kept while you type."))
                self._tags = gr.Textbox("", label="Tags", placeholder="ink, animals", max_lines=1, elem_id="lora-tags")
                self._notes = gr.Textbox("", label="Notes", lines=4, max_lines=12, elem_id="lora-notes")
                self._kept = html(elem_id="lora-kept")

    def connect(self, shelf_notice: gr.HTML) -> None:
        """Once every tab is laid out, since its buttons lead to others."""
        context, live, heading = self._context, self._context.live, "#lora .run-name"
        live.after(self._back.click(self.away, None, self.outputs, **HIDDEN), "#library-search input")
        file = [self._title, self._trigger, self._strength, self._description]
        for press, act, inputs, place in (
            (self._save.click, self._saved, [self.page, *file], self._written),
            (self._rename.click, self._renamed, [self.page, self._name], self._named),
            (self._name.submit, self._renamed, [self.page, self._name], self._named),
        ):
            live.after(press(noticed(place, act), inputs, self.outputs, **HIDDEN), heading)
        self._pressed(self._draw, self._drawn_with, [self.page], [context.tabs], "#prompt textarea")
        onto = [context.tabs, *context.setup]
        self._pressed(self._further, self._trained_further, [self.page], onto, "#trigger input")
        self._pressed(self._again, self._used_again, [self.page], onto, "#trigger input")
        self._pressed(self._run, self._to_run, [self.page], context.past_run, "#past-run .run-name")
        self._pressed(self._folder, self._shown_in_folder, [self.page], [])
        self._pressed(self._download, self._downloaded, [self.page], [self._link])
        gone = noticed(self._notice, lambda page: self._deleted(page, shelf_notice))
        deleted = self._sure.click(gone, [self.page], [*self.outputs, shelf_notice], **HIDDEN)
        live.after(deleted, "#library-search input")
        asking = self._delete.click(noticed(self._notice, self._asked), [self.page], self.outputs, **HIDDEN)
        live.after(asking, "#lora-keep")
        kept = self._keep.click(lambda: gr.update(visible=False), None, self._asking, **HIDDEN)
        live.after(kept, "#lora-delete")
        # Each alone: while a LoRA is opened, the other one may still hold what is noted of the LoRA before it.
        for name, field, read in (("text", self._notes, str), ("tags", self._tags, notes.tags)):
            noted = noticed(self._kept, partial(self._noted, name, read))
            field.change(noted, [self.page, field], [self._kept], **LIGHT)
        for section in self._sections:
            section.connect()
        for part in (self._head, self._versions):
            chosen = while_kept(self._notice, self._chosen, lambda event, _: event.act == "use")
            live.after(part.select(chosen, [self.page], self.outputs, **HIDDEN), heading)

    def _pressed(
        self, button: gr.Button, act: Callable[..., Changes], inputs: list[Any], more: list[Any], focus: str = ""
    ) -> None:
        outputs = list(dict.fromkeys([*self.outputs, *more]))
        pressed = button.click(noticed(self._notice, act), inputs, outputs, **HIDDEN)
        self._context.live.after(pressed, *filter(None, [focus]))

    def show(self, path: Path) -> Changes:
        """Everything there is to see of the LoRA at `path`. Raises UserError where it is not there or broken."""
        there = shelf.shelf(self._studio)
        card = shelf.named(self._studio, there, path.name)
        if not card.info:
            raise shelf.broken(card)
        shown = self._headed(card) | self._called(card, there) | self._says(card) | {
            self._listed: gr.update(visible=False),
            self._panel: gr.update(visible=True),
            **dict.fromkeys(self._notices, ""),
            self._drawings: words.drawings(card, Thumbnails(self._studio, 128), self._studio.drawings),
            self._run: gr.update(visible=bool(card.run) and (self._studio.runs / card.run).is_dir()),
            self._asking: gr.update(visible=False),
            self._notes: card.notes.text,
            self._tags: ", ".join(card.notes.tags),
        }
        for section in self._sections:
            shown |= section.shown(str(card.path))
        return shown

    def _called(self, card: Card, there: Shelf) -> Changes:
        """What goes by its name, besides the head."""
        return {
            self.page: {"path": str(card.path)},
            self._name: card.name,
            self._versions: words.versions(versions(self._studio, card, there), card),
            self._frees: words.asked(card),
        }

    def _says(self, card: Card) -> Changes:
        """The fields of what its file says of itself."""
        said = changes.says(card)
        return {
            self._title: said.title,
            self._trigger: said.trigger,
            self._strength: said.strength,
            self._description: said.description,
        }

    def away(self) -> Changes:
        """Back to the cards."""
        return {self._listed: gr.update(visible=True), self._panel: gr.update(visible=False), self.page: {}}

    def _headed(self, card: Card) -> Changes:
        covers.decode(self._studio, [card])
        picture = covers.cover(self._studio, card)
        return {self._head: words.head(card, Thumbnails(self._studio)(picture) if picture else "")}

    def _card(self, page: Page) -> Card:
        """The LoRA that the page shows, also where it was renamed elsewhere. Raises UserError where it is gone."""
        path = page["path"] if Path(page["path"]).is_file() else scan.now_at(self._studio, page["path"])
        if not path:
            what = f"{Path(page['path']).stem} is not in your studio any more."
            raise UserError(what, "Go to All LoRAs; the bin below them may have it.")
        return shelf.named(self._studio, shelf.shelf(self._studio), Path(path).name)

    def _saved(self, page: Page, title: str, trigger: str, strength: Any, description: str) -> Changes:
        said = changes.Says(title or "", trigger or "", float(strength or 0), description or "")
        changes.say(self._studio, self._card(page), said)
        card = self._card(page)
        saved = {self._written: markup.notice("Saved in the file.", kind="note")}
        return self._headed(card) | self._says(card) | saved

    def _renamed(self, page: Page, name: str) -> Changes:
        card = self._card(page)
        path = changes.rename(self._studio, card, name or "")
        words = f"It is called {path.stem} now." if path != card.path else ""
        there = shelf.shelf(self._studio)
        card = shelf.named(self._studio, there, path.name)
        renamed: Changes = {section.page: {"lora": str(path)} for section in self._sections}
        renamed |= {self._named: markup.notice(words, kind="note")}
        return self._headed(card) | self._called(card, there) | renamed

    def _noted(self, name: str, read: Callable[[str], Any], page: Page, typed: str) -> Changes:
        if page:
            card = self._card(page)
            with self._noting:
                changes.note(self._studio, card, **{name: read(typed or "")})
        return {}

    def _chosen(self, event: gr.EventData, page: Page) -> Changes:
        """A star given or taken, or a version opened or put into use."""
        act, card = str(event.act), self._card(page)
        if act == "star":
            with self._noting:
                changes.note(self._studio, card, star=not card.notes.star)
            return self._headed(self._card(page))
        if act == "use":
            made = put_into_use(self._studio, card, int(event.name))
            said = markup.notice(f"{made.stem} is among your LoRAs now.", kind="note")
            return self.show(made) | {self._notice: said}
        return self.show(self._studio.loras / Path(str(event.name)).name)

    def _drawn_with(self, page: Page) -> Changes:
        card = self._card(page)
        made = onward.drawn(self._studio, self._context.drafts.draw.value, card)
        if problem := self._context.drafts.draw.change(lambda _: made):
            raise problem
        return {self._context.tabs: gr.update(selected="generate")}

    def _trained_further(self, page: Page) -> Changes:
        return self._context.over_to_train(onward.further(self._studio, self._card(page)))

    def _used_again(self, page: Page) -> Changes:
        return self._context.over_to_train(onward.again(self._studio, self._card(page)))

    def _to_run(self, page: Page) -> Changes:
        return self._context.to_run(self._card(page).run)

    def _shown_in_folder(self, page: Page) -> Changes:
        folder.show(self._card(page).path, os.environ)
        return {}

    def _downloaded(self, page: Page) -> Changes:
        """A copy where the browser may fetch it from, which is cleared away like an upload."""
        card = self._card(page)
        copy = Path(os.environ["GRADIO_TEMP_DIR"]).resolve() / uuid.uuid4().hex / card.path.name
        files.copy(card.path, copy)
        return {self._link: words.download(cards.address(copy), card.path.name)}

    def _asked(self, page: Page) -> Changes:
        """What deleting comes to, before it is done."""
        return {self._asking: gr.update(visible=True), self._frees: words.asked(self._card(page))}

    def _deleted(self, page: Page, shelf_notice: gr.HTML) -> Changes:
        gone = bin.delete(self._studio, self._card(page).path)
        return self.away() | {shelf_notice: cards.deleted(gone)}


def _button(words: str, id: str, width: int, size: Any = "lg") -> gr.Button:
    return gr.Button(words, scale=0, min_width=width, size=size, elem_id=id)
