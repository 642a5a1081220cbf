"""Captions suggested by file names or a captioner: chosen, downloaded where it is not here, asked, and given up."""

from pathlib import Path
from typing import Any

import gradio as gr

from lora_gui.errors import UserError
from lora_gui.studio.capacity import gpu
from lora_gui.studio.doctor import wording
from lora_gui.studio.tasks import download_words
from lora_gui.studio.tasks.describing import Describing, Work
from lora_gui.studio.things import caption_edits, captioners
from lora_gui.studio.things.pictures import PictureSet
from lora_gui.ui.context import Context
from lora_gui.ui.train import planned
from lora_gui.ui.train.captions_view import CaptionsView
from lora_gui.ui.widgets import long_work, markup
from lora_gui.ui.widgets.handlers import HIDDEN, Changes
from lora_gui.ui.widgets.parts import html

SCRIPT = Path(__file__).with_name("describe_view.js")
_SUMMARY = "<summary>Suggest captions</summary>"
_SLOW = '<label><input type="checkbox" class="slow"> With the processor, beside what uses the card</label>'
_CANCEL = '<button type="button" class="chip" data-act="cancel">Cancel</button>'


class DescribeView:
    """Lays itself out where it is made; what it suggests is shown in the list where many captions are changed."""

    def __init__(self, context: Context) -> None:
        self._context, self._studio = context, context.studio
        self._work = Describing(context.studio)
        context.waits.append(lambda: self._work.now.goes_on)
        script = SCRIPT.read_text(encoding="utf-8")
        self._form = html(f"<details>{_SUMMARY}</details>", js_on_load=script, elem_id="describe")
        self._told = html(js_on_load=script, elem_id="describe-told")
        self._page = gr.JSON({}, visible=False)  # what this page shows

    def fills(self, many: CaptionsView) -> None:
        """Let `many` show what is suggested, to accept, edit or reject."""
        self._many, many.settled = many, self._work.forget
        self._outputs = [self._form, self._told, self._page, many.list]

    def connect(self) -> None:
        for part in (self._form, self._told):
            event = part.select(self._pressed, [self._page], self._outputs, **HIDDEN)
            self._context.live.after(event, "#describe summary")

    def watch(self) -> None:
        """Look when the window does; after what clears the list for other pictures."""
        self._context.live.watch(self._look, [self._page], self._outputs)

    def _pressed(self, event: gr.EventData, page: dict[str, Any]) -> Changes:
        """Begin or end something; or, where the form is opened, look for captioners: not before."""
        try:
            if event.act == "open":
                return {self._form: self._filled()}
            if event.act == "cancel":
                self._work.cancel()
            else:
                self._begin(event)
        except UserError as error:
            return {self._told: markup.problem(error)}
        self._context.stir()
        return self._look(page)

    def _begin(self, event: gr.EventData) -> None:
        """What a press asks for. Raises UserError where that cannot be."""
        source, _, key = str(event.source).partition(":")
        if source == "known":
            self._work.fetch(key)
            return
        found, goal, _ = self._chosen()
        if source == "names":
            self._work.take_names(found, bool(event.also))
        else:
            typed = str(event.one)
            by = captioners.at(self._studio, key) if source == "here" else captioners.named(typed)
            asked = typed if source == "here" else ""
            self._work.describe(found, by, goal, asked, bool(event.also), bool(event.slow))

    def _chosen(self) -> tuple[PictureSet, str, str]:
        """The pictures that the window shows, what they are for, and the trigger. Raises UserError without any."""
        draft = self._context.drafts.train.value
        found = planned.chosen_pictures(self._studio, draft)
        if found is None:
            raise planned.gone()
        goal = wording.goal_of(planned.chosen_preset(self._studio, draft))
        return found, goal, draft.trigger.strip()

    def _look(self, page: dict[str, Any]) -> Changes:
        """What is to be shown to a page that shows something else."""
        work, folder = self._work.now, Path(self._context.drafts.train.value.folder).name
        fetched = not work.folder
        mine = fetched or work.folder == folder
        mark = [id(work), work.doing, folder]
        if (page or {}).get("mark") == mark:
            return {}
        changes: Changes = {self._page: {"mark": mark}, self._told: _words(work) if mine else ""}
        if work.goes_on or not mine:
            return changes
        if fetched:
            return changes | ({self._form: self._filled()} if page and work.notes and not work.problem else {})
        return changes | self._suggested(work)

    def _suggested(self, work: Work) -> Changes:
        try:
            found, goal, trigger = self._chosen()
        except UserError:
            return {}
        would, silent = caption_edits.described(found, work.texts, goal, trigger)
        notes = [*work.notes]
        if silent:
            notes.append(f"Of {silent} of {len(work.texts)} nothing is known that is worth saying for a {goal}.")
        changes: Changes = {self._told: _words(work, notes)}
        if work.texts and (would or not changes[self._told]):
            changes[self._many.list] = self._many.suggestions(found, would)
        return changes

    def _filled(self) -> str:
        """The form with what is here, and what can be had."""
        own = "".join(
            _option(f"here:{one.path}", one.title, f"{download_words.size(one.size)}, in {one.path}",
                    "What it is asked; empty is what fits the goal" if captioners.is_asked(one) else "")
            for one in captioners.here(self._studio)
        )  # fmt: skip
        more = "".join(
            _option(f"known:{one.key}", f"{one.title}, about {one.size_gb:g} GB", f"{one.good_at} {one.repo}, "
                    f"{one.licence}.", act="Download")
            for one in captioners.missing(self._studio)
        )  # fmt: skip
        names = _option("names:", "The names of the files", "What your files are called, without numbers.")
        other = _option("folder:", "A folder on this disk", "Of a model that is read here: it is told by its own "
                        "files, and no code in it is run.", "Its folder")  # fmt: skip
        return f"<details open>{_SUMMARY}{_fields(own + names + other, more)}</details>"


def _fields(here: str, more: str) -> str:
    fetched = f'<optgroup label="To be downloaded">{more}</optgroup>' if more else ""
    return (
        f'<div class="bulk-fields"><select aria-label="What describes the pictures">'
        f'<optgroup label="Here">{here}</optgroup>{fetched}</select>'
        '<input type="text" class="one" hidden>'
        '<button type="button" class="chip" data-act="begin">Suggest</button></div><p class="quiet says"></p>'
        '<label><input type="checkbox" class="also"> Also pictures that have a caption</label>'
        f"{_SLOW if gpu.memory() else ''}"
    )


def _option(value: str, words: str, says: str, one: str = "", act: str = "Suggest") -> str:
    data = f'data-says="{markup.text(says)}" data-one="{one}" data-does="{act}"'
    return f'<option value="{markup.text(value)}" {data}>{markup.text(words)}</option>'


def _words(work: Work, notes: list[str] | None = None) -> str:
    """How far it is, or what came of it."""
    if work.goes_on:
        return f"{long_work.bar(work.doing)}<p>{_CANCEL}</p>"
    wrong = markup.problem(work.problem) if work.problem else ""
    said = work.notes if notes is None else notes
    return wrong + "".join(markup.notice(one, kind="note") for one in said)
