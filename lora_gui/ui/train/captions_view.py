"""Many captions changed at once: what each would become stands beside what it is, to accept, to edit or to reject."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import gradio as gr

from lora_gui.errors import UserError
from lora_gui.studio.doctor import wording
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import caption_edits, pictures
from lora_gui.studio.things.caption_edits import Edit, Suggestion
from lora_gui.ui.train.desk_view import SMALL
from lora_gui.ui.widgets import markup
from lora_gui.ui.widgets.handlers import Changes
from lora_gui.ui.widgets.parts import html
from lora_gui.ui.widgets.thumbnails import Thumbnails

SCRIPT = Path(__file__).with_name("captions_view.js")
# What can be done: its words, and the labels of the two fields that it takes.
WAYS = {
    "goal": ("Shorten to the goal", "", ""),
    "prefix": ("Put before each", "Words", ""),
    "suffix": ("Put behind each", "Words", ""),
    "find": ("Find and replace", "Find", "Replace with"),
    "remove": ("Take words out", "Words, with commas", ""),
}
MOST = 200  # suggestions that are shown at once


class CaptionsView:
    """Lays itself out where it is made; nothing is written before it is accepted."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self.writing = studio, threading.Lock()
        self._form = html(_form(), js_on_load=SCRIPT.read_text(encoding="utf-8"), elem_id="bulk")
        self.list = html(js_on_load=SCRIPT.read_text(encoding="utf-8"), elem_id="suggestions")  # of others, too
        self.parts, self.outputs = (self._form, self.list), [self.list]
        self.settled: Callable[[Sequence[str]], None] = lambda files: None  # told of files whose suggestion is settled

    def answer(self, event: gr.EventData, found: pictures.PictureSet, trigger: str, goal: str) -> tuple[Changes, bool]:
        """What is to be shown after a press, and whether captions were written. Raises UserError as `accept`."""
        if event.act == "show":
            would = caption_edits.suggested(found, _edit(event, trigger, goal))
            return {self.list: self.suggestions(found, would)}, False
        self.settled([str(row[0]) for row in event.rows])
        listed = {} if event.left else self.cleared()  # or they stood there again wherever the page is drawn anew
        if event.act == "reject":
            return listed, False
        chosen = [Suggestion(*(str(part) for part in row)) for row in event.rows]
        with self.writing:  # several are pressed before the first is answered
            written, left = caption_edits.accept(pictures.load(found.folder), chosen)
        if left:
            what = f"{markup.counted(left, 'caption was', 'captions were')} changed meanwhile and stayed as they are."
            if not written:
                raise UserError(what, "Look at what would change once more.")
            return {self.list: markup.notice(what, kind="note")}, True
        return listed, bool(written)

    def suggestions(self, found: pictures.PictureSet, would: list[Suggestion]) -> str:
        """Each beside its picture, with what it is and what it would become, the latter to be edited."""
        address = Thumbnails(self._studio, SMALL)
        places = {one.path.name: one.path for one in found.pictures}
        rows = [_row(one, markup.image(address(places[one.file]), one.label)) for one in would[:MOST]]
        return _suggestions(found.folder.name, rows, len(would))

    def cleared(self) -> Changes:
        """For other pictures."""
        return {self.list: ""}


def _edit(event: gr.EventData, trigger: str, goal: str) -> Edit:
    """What the fields of the page say. Raises UserError where they say nothing."""
    way, one, other = str(event.way), str(event.one), str(event.other)
    if way == "goal":
        return Edit(goal=wording.goal_of(goal), trigger=trigger)
    if not one.strip() or way not in WAYS:
        raise UserError("There is nothing to change the captions by.", "Type the words first.")
    if way == "remove":
        return Edit(remove=[word.strip() for word in one.split(",") if word.strip()])
    return Edit(**{way: one}, replace=other if way == "find" else "")


def _form() -> str:
    ways = "".join(
        f'<option value="{key}" data-one="{one}" data-other="{other}">{words}</option>'
        for key, (words, one, other) in WAYS.items()
    )
    fields = "".join(f'<input type="text" class="{name}" hidden>' for name in ("one", "other"))
    button = '<button type="button" class="chip" data-act="show">Show what changes</button>'
    return (
        "<details><summary>Change many captions</summary>"
        f'<div class="bulk-fields"><select aria-label="What is done to the captions">{ways}</select>{fields}{button}'
        "</div></details>"
    )


def _row(one: Suggestion, picture: str) -> str:
    return (
        f'<li data-file="{markup.text(one.file)}" data-label="{markup.text(one.label)}"'
        f' data-was="{markup.text(one.was)}">{picture}<span>{markup.text(one.was) or "<i>no caption</i>"}</span>'
        f'<textarea rows="2" aria-label="New caption of {markup.text(one.label)}">{markup.text(one.becomes)}</textarea>'
        '<span><button type="button" class="chip" data-act="accept">Accept</button> '
        '<button type="button" class="chip" data-act="reject">Reject</button></span></li>'
    )


def _suggestions(name: str, rows: list[str], of: int) -> str:
    if not rows:
        return markup.quiet("No caption would change.")
    more = f", {len(rows)} of them shown" if of > len(rows) else ""
    count = markup.counted(of, "caption")
    head = (
        f'<p class="quiet" role="status">{count} would change{more}. Nothing is written before you accept it.</p>'
        '<p><button type="button" class="chip" data-act="all">Accept all</button> '
        '<button type="button" class="chip" data-act="none">Reject all</button></p>'
    )
    anew = time.monotonic_ns()  # what was settled is gone from the page, which knows it as what it was told before
    return f'<div data-set="{markup.text(name)}" data-turn="{anew}">{head}<ul>{"".join(rows)}</ul></div>'
