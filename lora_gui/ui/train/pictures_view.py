"""The first question, which pictures: dropped, chosen or the examples; then shown small, with captions to edit."""

import itertools
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from lora_gui.errors import UserError
from lora_gui.studio.things import pictures
from lora_gui.ui.context import Context
from lora_gui.ui.train import planned
from lora_gui.ui.train.captions_view import CaptionsView
from lora_gui.ui.train.doctor_view import DoctorView
from lora_gui.ui.widgets import dropzone, markup
from lora_gui.ui.widgets.draft_form import DraftForm
from lora_gui.ui.widgets.handlers import HIDDEN, LIGHT, Changes
from lora_gui.ui.widgets.parts import html, leaves
from lora_gui.ui.widgets.thumbnails import Thumbnails

SIDE = 192  # px of the small copies
GROUNDS = [("White", "white"), ("Grey", "grey"), ("Black", "black")]  # behind transparent pictures
EDITED = Path(__file__).with_name("captions.js")


class PicturesView:
    """Lays itself out where it is made; which pictures are shown stands in the draft."""

    def __init__(self, context: Context) -> None:
        self._studio, self._draft, self._live = context.studio, context.drafts.train, context.live
        with gr.Column(elem_id="pictures"):
            html('<h2 class="ask">Pictures</h2>')
            self._zone = dropzone.build()
            with gr.Accordion("Transparent pictures", open=False, elem_id="transparent") as self._transparent:
                self.ground = gr.Dropdown(
                    GROUNDS,
                    value="white",
                    label="What is behind them",
                    info="The colour that is learnt where they are transparent. Or type one, such as #204060.",
                    allow_custom_value=True,
                    elem_id="ground",
                )
            with gr.Column(visible=False, elem_id="chosen") as self._chosen:
                self._grid = html()
                self._captions = html(js_on_load=EDITED.read_text(encoding="utf-8"), elem_id="captions")
                self._many = CaptionsView()
                self._others = gr.Button("Choose others", size="sm", scale=0, min_width=130, elem_id="others")
                self._remarks = html()
                self.doctor = DoctorView(context, self._tiles)
                self.sizes = html(elem_id="sizes")  # filled with the draft: base, resolution and batch count
        self._kept = gr.JSON({}, visible=False)  # the caption that was kept last, for captions.js
        self._writing = threading.Lock()
        self._latest: dict[tuple[str, int], float] = {}  # when each caption was typed; ms
        self.outputs = [self._zone, self._transparent, self._chosen, self._grid, self._remarks, self._captions]
        self.outputs += [*self._many.outputs, *self.doctor.outputs]

    def connect(self, shows: Callable[..., Changes], form: DraftForm) -> list[Any]:
        """The events after which other pictures may be chosen.

        `shows` gives the whole draft as it stands, for a page that shows what `form.shown` says, with what went wrong.
        """

        def tried(act: Callable[..., Changes], pressed: bool = True) -> Callable[..., Changes]:
            def call(event: gr.EventData, shown: dict[str, Any]) -> Changes:
                try:
                    more = act(event)
                except UserError as error:
                    return shows(shown, error) | {self._zone: str(time.time_ns())}  # drawn anew, ready for the next
                return shows(shown, pressed=pressed) | more

            return call

        outputs = [*form.outputs, *self.outputs]
        carried: dict[str, Any] = {"js": form.carries, "concurrency_limit": 4} | HIDDEN
        events = [
            self._zone.upload(tried(self._uploaded), [form.shown], outputs, **carried),
            self._zone.select(tried(self._examples), [form.shown], outputs, **carried),
            self._others.click(tried(self._none), [form.shown], outputs, **carried),
        ]
        for part in self._many.parts:
            changed = part.select(tried(self._changed, False), [form.shown], outputs, **carried)
            self._live.after(changed, "#bulk summary")
        every: dict[str, Any] = LIGHT | {"trigger_mode": "multiple"}
        typed = self._captions.input(tried(self._caption, False), [form.shown], [*outputs, self._kept], **every)
        typed.then(None, [self._kept], None, js="kept => { studio.captioned(kept); return []; }", **HIDDEN)
        leaves("captions", typed)
        for event, *focus in zip(events, ("#captions summary",) * 2 + (".zone-ways button",), strict=True):
            self._live.after(event, *focus)
        return events

    def _uploaded(self, event: gr.EventData) -> Changes:
        reasons = itertools.chain(getattr(event, "why", ()), itertools.repeat(""))
        failed = [_not_copied(str(name), str(why)) for name, why in zip(event.failed, reasons, strict=False)]
        return self._bring(*dropzone.uploaded(event.paths, event.names), [str(name) for name in event.skipped], failed)

    def _examples(self, event: gr.EventData) -> Changes:
        shipped = pictures.examples()
        if not shipped:
            raise UserError("The example pictures did not come with this copy of the app.", "Get the app again, whole.")
        preset = planned.chosen_preset(self._studio, self._draft.value)
        return self._bring([shipped.get(preset) or next(iter(shipped.values()))])

    def _bring(
        self, sources: list[Path], names: Sequence[str] = (), skipped: Sequence[str] = (), failed: Sequence[str] = ()
    ) -> Changes:
        if not sources and failed:
            raise UserError(failed[0], pictures.DROP)
        found, _ = pictures.import_pictures(self._studio, sources, names, skipped, self._draft.value.ground)
        self._choose(found.folder.name)
        return {self._remarks: _remarks(found, failed)}

    def _choose(self, folder: str) -> None:
        if problem := self._draft.change(lambda draft: replace(draft, folder=folder, started="", note="")):
            raise problem

    def _none(self, event: gr.EventData) -> Changes:
        self._choose("")
        return {}

    def show(self, found: pictures.PictureSet | None) -> Changes:
        """The set in place of the drop zone, or the drop zone."""
        if found is None:
            zone = gr.update(visible=True, value=str(time.time_ns()))
            nothing = {self._transparent: gr.update(visible=True), self._chosen: gr.update(visible=False)}
            return {self._zone: zone} | nothing
        address = Thumbnails(self._studio, SIDE)
        grid, rows = markup.picture_grid(found.pictures, address), markup.caption_rows(found.pictures, address)
        return self._many.cleared() | {
            self._zone: gr.update(visible=False, value=str(time.time_ns())),
            self._transparent: gr.update(visible=False),
            self._chosen: gr.update(visible=True),
            self._grid: grid,
            self._remarks: address.remark() + _remarks(found),
            self._captions: rows,
        }

    def _tiles(self, found: pictures.PictureSet, badges: dict[str, str]) -> Changes:
        """The pictures with a word on some of them, and their captions as they stand."""
        address = Thumbnails(self._studio, SIDE)
        grid = markup.picture_grid(found.pictures, address, badges)
        return {self._grid: grid} | ({} if badges else {self._captions: markup.caption_rows(found.pictures, address)})

    def _changed(self, event: gr.EventData) -> Changes:
        """Many captions: what would change, or what was accepted; only of the set that its page shows."""
        draft = self._draft.value
        found = planned.chosen_pictures(self._studio, draft)
        if found is None or (event.act == "accept" and event.set != found.folder.name):
            raise UserError("These pictures are not in the window any more.", "Choose them again.")
        goal = planned.chosen_preset(self._studio, draft)
        changes, written = self._many.answer(event, found, draft.trigger.strip(), goal)
        return changes | (self._tiles(pictures.load(found.folder), {}) if written else {})

    def _caption(self, event: gr.EventData) -> Changes:
        """Keep a caption, unless one that was typed later has come first."""
        place, when = (Path(str(event.set)).name, int(event.index)), float(getattr(event, "at", math.inf))
        folder, index = place
        with self._writing:
            if self._latest.get(place, 0.0) > when:
                return {}
            found = pictures.load(self._studio.pictures / folder)
            captions = [picture.caption for picture in found.pictures]
            if not 0 <= index < len(captions):
                raise UserError("These pictures are not in the window any more.", "Choose them again.")
            captions[index] = str(event.caption)
            pictures.set_captions(found, captions)
            self._latest[place] = when
        self._draft.change(lambda draft: replace(draft, started=""))
        return {self._kept: {"set": folder, "index": index, "caption": captions[index]}}


def _not_copied(name: str, why: str) -> str:
    """`why` is the sentence with which the window refused it; a browser that could not read it gives none."""
    return f"{name} could not be copied{f': {why}' if why else '; it may be empty, too large or forbidden.'}"


def _remarks(found: pictures.PictureSet, failed: Sequence[str] = ()) -> str:
    """What came in, in one sentence that unfolds to each file that was not used; and what was done to others."""
    left = [one.reason if one.reason.endswith(".") else f"{one.file}: {one.reason}" for one in found.left]
    came = markup.sentences(found.sentence, left, folded=True) or markup.quiet(found.sentence)
    not_copied = markup.sentences(f"{markup.counted(len(failed), 'file was', 'files were')} not copied", failed)
    return came + not_copied + markup.sentences("What was done to some of them", found.remarks)
