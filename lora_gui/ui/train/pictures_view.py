"""The first question, which pictures: dropped, chosen or the examples; then they lie on the desk, and more can come."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from lora_gui.errors import UserError
from lora_gui.studio.doctor.finding import Judgement
from lora_gui.studio.things import pictures, report, set_work
from lora_gui.ui.context import Context
from lora_gui.ui.train import planned
from lora_gui.ui.train.captions_view import CaptionsView
from lora_gui.ui.train.describe_view import DescribeView
from lora_gui.ui.train.desk_state import Aim
from lora_gui.ui.train.desk_view import DeskView
from lora_gui.ui.train.doctor_view import DoctorView
from lora_gui.ui.widgets import dropzone, markup
from lora_gui.ui.widgets.draft_form import DraftForm
from lora_gui.ui.widgets.handlers import HIDDEN, Changes, takes_long
from lora_gui.ui.widgets.parts import PRESSES, html

MOMENT = 2.0  # seconds that Start waits for what is done to the pictures
GROUNDS = [("White", "white"), ("Grey", "grey"), ("Black", "black")]  # behind transparent pictures


class PicturesView:
    """Lays itself out where it is made; which pictures are shown stands in the draft."""

    def __init__(self, context: Context) -> None:
        self._studio, self._draft, self._live = context.studio, context.drafts.train, context.live
        self._one = threading.Lock()  # one drop after the other: the first makes the set, all others join it
        context.last.append(dropzone.anywhere)
        with gr.Column(elem_id="pictures"):
            html(f'<h2 class="ask">Pictures {markup.learn("set", "a good set")}</h2>')
            with gr.Column(visible=False, elem_id="chosen") as self._chosen:
                self.desk = DeskView(context.studio)
                self.described = DescribeView(context)
                self._many = CaptionsView(context.studio)
                self.described.fills(self._many)
                self.doctor = DoctorView(context, self._judged)
                self.sizes = html(elem_id="sizes")  # filled with the draft: base, resolution and batch count
                self._remarks = html()
                self._others = gr.Button("Choose others", size="sm", scale=0, min_width=130, elem_id="others")
            self._zone = dropzone.build()
            self._kept = html(js_on_load=PRESSES, elem_id="kept-set")
            with gr.Accordion("Transparent pictures", open=False, elem_id="transparent") as self._transparent:
                self.ground = gr.Dropdown(
                    GROUNDS,
                    value="white",
                    label="What is behind them",
                    info="The colour that is learnt where they are transparent. Or type one, such as #204060.",
                    allow_custom_value=True,
                    elem_id="ground",
                )
        self.outputs = [self._zone, self._transparent, self._chosen, self._remarks, self._kept, *self.desk.outputs]
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
        # each drop, also while another one is looked at, in the order in which they came
        each: dict[str, Any] = carried | {"trigger_mode": "multiple", "concurrency_limit": 1}
        events = [
            self._zone.upload(tried(self._uploaded), [form.shown], outputs, **each),
            self._zone.select(tried(self._examples), [form.shown], outputs, **carried),
            self._others.click(tried(self._none), [form.shown], outputs, **carried),
            self._kept.select(tried(self._taken_back), [form.shown], outputs, **carried),
        ]
        self.described.connect()
        for part in self._many.parts:
            quickly = carried | {"trigger_mode": "multiple"}  # the next is pressed before the last was answered
            changed = part.select(takes_long(tried(self._changed, False)), [form.shown], outputs, **quickly)
            self._live.after(changed, "#bulk summary")
        others = self.desk.board.select(tried(self._none_else, False), [form.shown], outputs, **carried)
        self._live.after(others)
        self.desk.connect(self._aimed, self._touched)
        for event in events:
            self._live.after(event, "#picture-desk figure", ".zone-ways button")
        events.append(others)
        return events

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """While nothing is done to the pictures, from whichever page: what is begun then learns all that was.

        Raises UserError where that takes longer than a moment.
        """
        with ExitStack() as held:
            for lock in (self._one, self.desk.writing, self._many.writing, self.doctor.writing):
                if not lock.acquire(timeout=MOMENT):
                    raise UserError("Your pictures are still being changed.", "Press Start again in a moment.")
                held.callback(lock.release)
            yield

    def _uploaded(self, event: gr.EventData) -> Changes:
        reasons = itertools.chain(getattr(event, "why", ()), itertools.repeat(""))
        failed = [_not_copied(str(name), str(why)) for name, why in zip(event.failed, reasons, strict=False)]
        return self._bring(*dropzone.uploaded(event.paths, event.names), [str(name) for name in event.skipped], failed)

    def _examples(self, event: gr.EventData) -> Changes:
        shipped = pictures.examples()
        if not shipped:
            raise UserError("The example pictures did not come with this copy of the app.", "Get the app again, whole.")
        preset = planned.chosen_preset(self._studio, self._draft.value)
        folder = shipped.get(preset) or next(iter(shipped.values()))
        chosen = sorted(folder.glob("[0-9]*"))  # its licence is no picture, which nobody has to be told
        return self._bring(chosen, [f"{folder.name}/{path.name}" for path in chosen])

    def _bring(
        self, sources: list[Path], names: Sequence[str] = (), skipped: Sequence[str] = (), failed: Sequence[str] = ()
    ) -> Changes:
        if not sources and failed:
            raise UserError(failed[0], pictures.DROP)
        with self._one:
            there, ground = planned.chosen_pictures(self._studio, self._draft.value), self._draft.value.ground
            if there is None:
                found, _ = pictures.import_pictures(self._studio, sources, names, skipped, ground)
                self._choose(found.folder.name)
                return {self._remarks: _remarks(found, failed)}
            found, _ = set_work.add(self._studio, there.folder, sources, names, skipped, ground)
        self._touched()
        return self._again(found) | {self._remarks: _remarks(found, failed)}

    def _choose(self, folder: str) -> None:
        if problem := self._draft.change(lambda draft: replace(draft, folder=folder, started="", note="")):
            raise problem

    def _none(self, event: gr.EventData) -> Changes:
        """Room for others; where those that lay here are, and the way to have them back."""
        found = planned.chosen_pictures(self._studio, self._draft.value)
        self._choose("")
        return {self._kept: _kept(found)} if found and found.pictures else {}

    def _taken_back(self, event: gr.EventData) -> Changes:
        folder = pictures.load(self._studio.pictures / Path(str(event.set)).name).folder
        self._choose(folder.name)
        return {}

    def _none_else(self, event: gr.EventData) -> Changes:
        """The desk has changed which pictures there are, and shows it; the rest of the page is as they are now."""
        return {}

    def _touched(self) -> None:
        """What was begun from these pictures was begun from others."""
        self._draft.change(lambda draft: replace(draft, started=""))

    def aim(self, plan: planned.Planned | None) -> Aim:
        """What the desk needs to know of a plan."""
        trigger = self._draft.value.trigger.strip()
        return Aim(plan.base, plan.settings, trigger) if plan else Aim(trigger=trigger)

    def _aimed(self) -> tuple[pictures.PictureSet, Aim] | None:
        """The pictures that are chosen, and what they are for."""
        draft = self._draft.value
        found = planned.chosen_pictures(self._studio, draft)
        if found is None:
            return None
        try:
            return found, self.aim(planned.planned(self._studio, draft, len(found.pictures)))
        except UserError:  # no base or preset can be used, which is said elsewhere
            return found, self.aim(None)

    def show(self, found: pictures.PictureSet | None, aim: Aim | None = None, anew: bool = True) -> Changes:
        """The set on the desk, or the drop zone alone; the same set as before where it is not `anew`."""
        zone, was = {self._zone: str(time.time_ns())}, gr.update(visible=found is None)
        if found is None:
            return zone | self.doctor.cleared() | {self._transparent: was, self._chosen: gr.update(visible=False)}
        shown = self.desk.show(found, aim or self.aim(None))
        if not anew:
            return shown
        came = {self._transparent: was, self._chosen: gr.update(visible=True), self._remarks: _remarks(found)}
        came[self._kept] = ""
        return self._many.cleared() | shown | came | zone

    def _again(self, found: pictures.PictureSet) -> Changes:
        """The set as it stands now, and the drop zone ready for more."""
        asked = self._aimed()
        shown = self.desk.show(found, asked[1] if asked else self.aim(None))
        return shown | {self._zone: str(time.time_ns())}

    def _judged(self, found: pictures.PictureSet, judgement: Judgement | None) -> Changes:
        """The desk once the set was judged, or mended."""
        asked = self._aimed()
        return self.desk.show(found, asked[1] if asked else self.aim(None), judgement)

    def _changed(self, event: gr.EventData) -> Changes:
        """Many captions: what would change, or what was accepted; only of the set that its page shows."""
        draft, asked = self._draft.value, self._aimed()
        if asked is None or (event.act != "show" and event.set != asked[0].folder.name):
            raise planned.gone()
        goal = planned.chosen_preset(self._studio, draft)
        changes, written = self._many.answer(event, asked[0], draft.trigger.strip(), goal)
        return changes | (self.desk.show(pictures.load(asked[0].folder), asked[1]) if written else {})


def _not_copied(name: str, why: str) -> str:
    """`why` is the sentence with which the window refused it; a browser that could not read it gives none."""
    return f"{name} could not be copied{f': {why}' if why else '; it may be empty, too large or forbidden.'}"


def _kept(found: pictures.PictureSet) -> str:
    """Where a set is that was put away, with a button that takes it back."""
    many = len(found.pictures)
    what, them = (f"{many} pictures and their captions", "them") if many > 1 else ("picture and its caption", "it")
    data = f'data-act="back" data-set="{markup.text(found.folder.name)}"'
    back = f'<button type="button" class="chip" {data}>Take {them} back</button>'
    return f'<p class="chips" role="status">Your {what} are kept under Runs. {back}</p>'


def _remarks(found: pictures.PictureSet, failed: Sequence[str] = ()) -> str:
    """What was not used, in one sentence that unfolds to each file; and what was done to others."""
    left = [one.reason if one.reason.endswith(".") else f"{one.file}: {one.reason}" for one in found.left]
    came = markup.sentences(report.unused(found.left), left, folded=True)
    not_copied = markup.sentences(f"{markup.counted(len(failed), 'file was', 'files were')} not copied", failed)
    return came + not_copied + markup.sentences("What was done to some of them", found.remarks)
