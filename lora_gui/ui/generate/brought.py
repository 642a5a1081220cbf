"""What is brought to the desk: a drawing's settings, a picture to begin with, a file that is dropped on the page."""

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from lora_gui.errors import UserError
from lora_gui.protocol.jobs import Base
from lora_gui.studio.library import history, scan
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import loras, names
from lora_gui.ui.draft import DrawDraft, Entry
from lora_gui.ui.generate import once_more, stack
from lora_gui.ui.generate.begin import Begin
from lora_gui.ui.generate.desk import Desk
from lora_gui.ui.widgets import base_list, dropzone
from lora_gui.ui.widgets.handlers import Changes
from lora_gui.ui.widgets.parts import html

Apart = Callable[[dict[str, Any], str], Changes]
SCRIPT = Path(__file__).with_name("dropped.js")


class Brought:
    """Make it inside the layout: the whole page is a place for files then."""

    def __init__(self, studio: Studio, begin: Begin) -> None:
        self._studio, self._begin = studio, begin
        self._page = html(js_on_load=SCRIPT.read_text(encoding="utf-8"), elem_id="dropped")

    def connect(self, desk: Desk, stage: gr.HTML, apart: Apart, more: list[Any]) -> None:
        """`stage.input` brings the `name` of a drawing and what is to be done (`act`); `apart` takes its LoRAs apart,
        which changes `more`."""
        self._desk, self._apart = desk, apart
        desk.press(stage.input, self._used, more)
        desk.press(self._page.upload, self._dropped, [], trigger_mode="multiple")  # also while others are taken in
        desk.press(self._begin.board.upload, self._begun, [])
        desk.press(self._begin.board.select, self._begun_otherwise, [], ".begin .none button")

    def _used(self, event: gr.EventData, shown: dict[str, Any]) -> Changes:
        """The settings of a drawing of the history, back in the form, or the drawing itself to begin with."""
        act, name = str(event.act), str(event.name)
        if act == "apart":
            return self._apart(shown, name)

        def change(draft: DrawDraft) -> DrawDraft:
            if act == "change":
                return self._begin.changing(draft, self._base(draft), name)
            return once_more.used(self._studio, draft, self._base(draft), history.place(self._studio, name))

        return self._changed(shown, change)

    def _dropped(self, event: gr.EventData, shown: dict[str, Any]) -> Changes:
        """Files that were dropped anywhere on the page: LoRAs are imported, the settings of a picture are used, and one
        that was pasted `begins` the next drawing."""

        def change(at: int, draft: DrawDraft) -> DrawDraft:
            path = dropzone.one(event, at)
            if getattr(event, "begins", False):
                return self._begin.with_picture(draft, self._base(draft), path)
            if path.suffix.lower() == scan.SUFFIX:
                return imported(self._studio, draft, path)
            return once_more.used(self._studio, draft, self._base(draft), path)

        count = len(event.names) if isinstance(event.names, list) else 1
        return self._changed(shown, *(functools.partial(change, at) for at in range(count)))

    def _begun(self, event: gr.EventData, shown: dict[str, Any]) -> Changes:
        return self._changed(shown, lambda draft: self._begin.came(draft, self._base(draft), event))

    def _begun_otherwise(self, event: gr.EventData, shown: dict[str, Any]) -> Changes:
        return self._changed(shown, lambda draft: self._begin.acted(draft, self._base(draft), str(event.act)))

    def _changed(self, shown: dict[str, Any], *changes: Callable[[DrawDraft], DrawDraft]) -> Changes:
        """Each change for itself: one that cannot be made keeps none of the others away, and is told of."""
        problem, failed, notes = self._desk.take(shown.get("changes")), list[UserError](), list[str]()
        for change in changes:
            try:
                problem = self._desk.change(functools.partial(_checked, change)) or problem
                notes.append(self._desk.draft.note)
            except UserError as error:
                failed.append(error)
        if notes[1:]:
            self._desk.change(lambda draft: replace(draft, note=" ".join(filter(None, notes))))
        if failed:
            problem = UserError(" ".join(one.what for one in failed), failed[-1].remedy) if failed[1:] else failed[0]
        return self._desk.shows(problem) | self._begin.unfolded(self._desk.draft)

    def _base(self, draft: DrawDraft) -> Base:
        return base_list.chosen(self._studio, draft.base)


def _checked(change: Callable[[DrawDraft], DrawDraft], draft: DrawDraft) -> DrawDraft:
    return stack.checked(change(draft))


def imported(studio: Studio, draft: DrawDraft, path: str | Path) -> DrawDraft:
    """The draft with a LoRA file from elsewhere in the studio and the stack. Raises UserError where it is none."""
    lora = loras.import_lora(studio, Path(path))
    called = names.called(Path(path).stem, lora.name)
    return replace(draft, stack=(*draft.stack, Entry(True, str(lora.path), 1.0)), note=called)
