"""The tab where a LoRA is made: pictures, what it is to be, a trigger word, Start; all else is folded."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gradio as gr

from lora_gui.errors import SettingError, UserError
from lora_gui.protocol.jobs import Base
from lora_gui.settings import TrainSettings
from lora_gui.studio.capacity import fit
from lora_gui.studio.doctor import wording
from lora_gui.studio.tasks import queue
from lora_gui.studio.tasks.runs import Run
from lora_gui.studio.things import presets
from lora_gui.ui.bases import welcome
from lora_gui.ui.context import Context
from lora_gui.ui.draft import TrainDraft, typed_in
from lora_gui.ui.train import beginning, planned
from lora_gui.ui.train.memory_view import MemoryView
from lora_gui.ui.train.pictures_view import PicturesView
from lora_gui.ui.train.presets_view import PresetsView, cards
from lora_gui.ui.train.run_view import Aside, RunView
from lora_gui.ui.widgets import base_list, form, markup
from lora_gui.ui.widgets.base_list import BaseList
from lora_gui.ui.widgets.draft_form import DraftForm
from lora_gui.ui.widgets.handlers import HIDDEN, Changes
from lora_gui.ui.widgets.parts import html

# What was done to the pictures just before Start is learnt, too; of those that are still on their way it is told.
CARRIES = """async shown => {
  await studio.settled?.();
  return [{ ...studio.unsent('train', shown), coming: Boolean(document.querySelector('#dropzone .zone.busy')) }];
}"""
ASKED = ("preset", "base", "trigger", "name", "ground")  # fields of the draft; all others are settings


def build(context: Context, tab: gr.Tab) -> None:
    """Lay the tab out and connect it."""
    with gr.Column(elem_classes="page"):
        aside = Aside()
        welcome.build(context)
        setup = _Setup(context)
        view = RunView(context, setup.panels, aside)
    setup.connect(view)
    view.connect()
    context.to_setup = lambda: view.away(context.running())
    context.setup = view.outputs


class _Setup:
    """What is asked before a run. Lays itself out where it is made."""

    def __init__(self, context: Context) -> None:
        self._context, self._studio, self._draft = context, context.studio, context.drafts.train
        self._starting = threading.Lock()
        with gr.Column(elem_id="setup") as questions:
            self._pictures = PicturesView(context)
            preset = _cards(presets.presets(context.studio))
            base = _base(context)
            with gr.Column(elem_id="word"):
                html(markup.learn("trigger", "the trigger word"), elem_id="word-learn")
                self._trigger = gr.Textbox(
                    "", label="Trigger word", placeholder="zxy_style", max_lines=1, elem_id="trigger"
                )
                verdict = html(markup.quiet(planned.WHY_TRIGGER), elem_id="verdict")
            self._beginning = beginning.build()
            with gr.Row(elem_id="start-row"):
                self._start = gr.Button("Start", variant="primary", size="lg", scale=0, min_width=150, elem_id="start")
                with gr.Column(elem_id="before"):
                    plan = html(markup.quiet(planned.ALL_IT_NEEDS), elem_id="plan")
                    self._memory = MemoryView(context)
                    self._pictures.doctor.line.render()
            notice = html(elem_id="train-notice")
        with gr.Column() as details, gr.Accordion("Details", open=False, elem_id="details"):
            name = _name()
            fields = form.build()
            self._again = gr.Button("Back to the preset", size="sm", scale=0, min_width=170, elem_id="again")
            self._presets = PresetsView(context, preset)
        asked = {"preset": preset, "base": base, "trigger": self._trigger, "name": name}
        asked["ground"] = self._pictures.ground
        said = {"plan": plan, "memory": self._memory.bar, "verdict": verdict, "notice": notice}
        said["sizes"] = self._pictures.sizes
        said["beginning"] = self._beginning
        self._form = DraftForm("train", asked | fields, said, "details")
        self.panels = (questions, details)

    def connect(self, view: RunView) -> None:
        shown, live = self._form.shown, self._context.live
        outputs = [*self._form.outputs, *self._pictures.outputs]
        carried: dict[str, Any] = {"js": self._form.carries} | HIDDEN
        self._pictures.doctor.follow(self._form.connect(self._edited, self._pictures.outputs))
        for event in (
            self._again.click(self._back_to_preset, [shown], outputs, **carried),
            self._memory.fit.click(self._fitted, [shown, self._memory.proposal], outputs, **carried),
            self._beginning.select(self._begun_anew, [shown], outputs, **carried),
            *self._pictures.connect(self._shows, self._form),
            *self._pictures.doctor.connect(self._to_judge, self._shows, shown, outputs),
            *self._presets.connect(self._after, shown, carried, outputs),
        ):
            self._form.filled(event)
        self._memory.connect(self._wanted)
        live.watch(self._look, [shown], [*outputs, *self._presets.outputs])
        self._pictures.doctor.watch(outputs)
        self._pictures.described.watch()
        live.fills(self._form)
        started = gr.on(
            [self._start.click, self._trigger.submit],
            lambda given: self._started(view, given),
            [shown],
            [*outputs, *view.outputs],
            **carried | {"js": CARRIES},
        )
        live.after(self._form.filled(started), "#run .run-name", "#trigger input")

    def _look(self, shown: dict[str, Any]) -> Changes:
        """What stands in the draft, for a page that has just been opened or shows an older one."""
        if not shown:
            return self._presets.choices() | self._shows(shown, pressed=False)
        number, draft, _ = self._draft.get()
        folder = shown.get("folder", "")
        is_there = not folder or (self._studio.pictures / folder).is_dir()  # or it was deleted meanwhile
        if is_there and shown.get("number") == number and shown.get("waits", "") == self._waits(draft):
            return {}
        return self._shows(shown, pressed=False)

    def _edited(self, event: gr.EventData, shown: dict[str, Any]) -> Changes:
        return self._shows(shown, self._take(event.changes), pressed=False)

    def _take(self, changes: Any) -> UserError | None:
        """Put what the user typed into the draft; an emptied setting is the preset's again."""
        given, problem = typed_in(changes)

        def taken(draft: TrainDraft) -> TrainDraft:
            typed = self._draft.newest(given)
            asked = {name: str(value or "") for name, value in typed.items() if name in ASKED}
            hand = draft.hand | {name: value for name, value in typed.items() if name in TrainSettings.model_fields}
            hand = {name: value for name, value in hand.items() if value is not None}
            changed = replace(draft, **asked, hand=hand)  # type: ignore[arg-type]
            return draft if changed == draft else replace(changed, started="", note="")

        kept = self._draft.change(taken)
        return problem or kept

    def _back_to_preset(self, shown: dict[str, Any]) -> Changes:
        self._take(shown.get("changes"))
        return self._shows(shown, self._draft.change(lambda draft: replace(draft, hand={}, started="")))

    def _begun_anew(self, shown: dict[str, Any]) -> Changes:
        self._take(shown.get("changes"))
        return self._shows(shown, self._draft.change(lambda draft: replace(draft, begin_from="", started="")))

    def _fitted(self, shown: dict[str, Any], proposal: dict[str, Any]) -> Changes:
        """What makes it fit on the card counts as set by hand: the user pressed for it."""
        self._take(shown.get("changes"))
        return self._shows(shown, self._take(proposal))

    def _after(self, shown: dict[str, Any], act: Callable[[], None]) -> Changes:
        """The draft as it stands once what was typed is in it and `act` is done."""
        self._take((shown or {}).get("changes"))
        act()
        return self._shows(shown)

    def _shows(self, shown: dict[str, Any], problem: UserError | None = None, pressed: bool = True) -> Changes:
        """The draft as it stands, for a page that `shown` says what it shows of it."""
        number, draft, took = self._draft.get()
        waits = self._waits(draft)
        found = planned.chosen_pictures(self._studio, draft)
        count = len(found.pictures) if found else 0
        values: dict[str, Any] = {"trigger": draft.trigger, "name": draft.name, "ground": draft.ground or "white"}
        wrong, focus, plan = planned.wrong_name(draft), "", None
        try:
            plan = planned.planned(self._studio, draft, count)
            values |= {"preset": plan.preset, "base": plan.base.key} | form.shown(plan.settings, draft.hand)
            values["plan"] = planned.in_words(self._studio, plan, found)
            values["sizes"] = planned.sizes(found, plan)
            values["memory"] = "" if plan.wrong else self._memory.at_once(plan.base, plan.settings)
            wrong |= plan.wrong
        except UserError as error:
            problem = problem or error
        if isinstance(problem, SettingError):
            wrong, focus = {problem.setting: problem} | wrong, problem.setting
        base = plan.base if plan else None
        values["verdict"] = "" if "trigger" in wrong else planned.verdict(self._studio, draft, found, base)
        lost = ["" if found else planned.lost_pictures(self._studio, draft)]
        lost.append(base_list.gone(draft.base, base) if base else "")
        said = waits or " ".join(filter(None, (draft.note, *lost)))
        values["notice"] = markup.problem(problem) if problem else markup.notice(said, kind="note")
        if focus == "trigger":  # it stands there already
            values["notice"] = ""
        values["beginning"] = beginning.words(draft)
        folder = found.folder.name if found else ""
        aim = self._pictures.aim(plan)
        mark, was = aim.mark(found) if found else "", shown or {}
        answer = self._form.answer(number, took, values, wrong, focus, pressed, pressed and bool(problem),
                                   folder=folder, desk=mark, waits=waits)  # fmt: skip
        answer |= self._pictures.doctor.hangs(draft)
        anew = folder != was.get("folder", "")
        return answer | (self._pictures.show(found, aim, anew) if anew or mark != was.get("desk", "") else {})

    def _to_judge(self) -> Any:
        """The pictures of the draft, and what they are for; None where there are none, or no base."""
        draft = self._draft.value
        try:
            found = planned.chosen_pictures(self._studio, draft)
            plan = planned.planned(self._studio, draft, len(found.pictures)) if found else None
        except UserError:
            return None
        if not found or not plan:
            return None
        return found, plan.base, plan.settings, draft.trigger, wording.goal_of(plan.preset)

    def _wanted(self) -> tuple[Base, TrainSettings]:
        """What the memory is counted for. Raises UserError where a setting is wrong, or no base can be used."""
        plan = planned.planned(self._studio, self._draft.value, 1)
        for error in plan.wrong.values():
            raise error
        return plan.base, plan.settings

    def _started(self, view: RunView, shown: dict[str, Any]) -> Changes:
        try:
            if isinstance(problem := self._take(shown.get("changes")), SettingError):
                raise problem
            if shown.get("coming"):
                raise UserError("Your pictures are still on their way.", "Press Start again once they are here.")
            with self._starting, self._pictures.at_rest():
                run = self._begin()
        except UserError as error:
            return self._shows(shown, error)
        if run.status().state == "waiting":
            return self._shows(shown)
        return self._shows(shown) | view.show(run.folder.name)

    def _waits(self, draft: TrainDraft) -> str:
        """For whom the run waits that was begun of a draft, and where that can be changed; empty where none does."""
        run, context = self._context.run(draft.started) if draft.started else None, self._context
        if run is None or not run.folder.is_dir() or run.status().state != "waiting":
            return ""
        names = [one.folder.name for one in queue.waiting(self._studio)]
        place = names.index(run.folder.name) + 1 if run.folder.name in names else 1
        going_on = context.running()
        whom = f"for {context.title(going_on)}" if going_on else "its turn"
        return f"{context.title(run.folder.name)} waits {whom}; place {place} in Runs."

    def _begin(self) -> Run:
        """The run of the draft as it stands; pressed twice, it is the same one."""
        draft = self._draft.value
        begun = self._context.run(draft.started) if draft.started else None
        if begun and begun.folder.is_dir() and not begun.status().ended:
            return begun
        job = planned.job(self._studio, draft)
        fit.require(self._studio, job.base, job.settings)
        comes_next = not self._context.running()
        run = queue.add(self._studio, job)
        if comes_next:
            self._context.give_way()
        self._draft.change(lambda now: replace(now, started=run.folder.name) if now == draft else now)
        return run


def _name() -> gr.Textbox:
    with gr.Row(elem_classes="fields"):
        return gr.Textbox(
            "",
            label="Name",
            info="What the file of your LoRA is called. Empty: as the trigger word.",
            max_lines=1,
            elem_id="name",
        )


def _base(context: Context) -> gr.Dropdown:
    base = BaseList(
        context.studio,
        elem_id="base",
        info="The model that learns your pictures. The LoRA works with bases of the same family.",
    )
    base.connect(context.live)
    return base.field


def _cards(known: dict[str, presets.Preset]) -> gr.Radio:
    return gr.Radio(cards(known), value=next(iter(known), None), label="What are you making?", elem_id="preset")
