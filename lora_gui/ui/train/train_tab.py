"""The tab where a LoRA is made: pictures, what it is to be, a trigger word, Start; all else is folded."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from lora_gui.errors import UserError
from lora_gui.settings import TrainSettings
from lora_gui.studio.capacity import fit, gpu
from lora_gui.studio.capacity.estimate import estimate
from lora_gui.studio.tasks import runs
from lora_gui.studio.things import bases, names, presets
from lora_gui.ui.context import Context
from lora_gui.ui.train import draft
from lora_gui.ui.train.memory_view import MemoryView
from lora_gui.ui.train.pictures_view import PicturesView
from lora_gui.ui.train.run_view import RunView
from lora_gui.ui.widgets import form, markup
from lora_gui.ui.widgets.handlers import HIDDEN, LIGHT, Changes, noticed
from lora_gui.ui.widgets.parts import html

ALL_IT_NEEDS = "Pictures, what you are making and a trigger word: that is all it needs."
WHY_TRIGGER = "A made-up word that calls your LoRA in a prompt, such as zxy_style."


def build(context: Context, load: Any) -> None:
    """Lay the tab out and connect it; `load` is the event of a page that has just been opened."""
    with gr.Column(elem_classes="page"):
        setup = _Setup(context)
        view = RunView(context, setup.panels)
    setup.connect(load, view)
    view.connect(load)


class _Setup:
    """What is asked before a run. Lays itself out where it is made."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._filled = gr.State({})  # what the preset filled into the fields
        with gr.Column(elem_id="setup") as questions:
            self._pictures = PicturesView(context)
            self._preset = _cards(presets.presets(context.studio))
            with gr.Column(elem_id="word"):
                self._trigger = gr.Textbox(
                    "", label="Trigger word", placeholder="zxy_style", max_lines=1, elem_id="trigger"
                )
                self._verdict = html(markup.quiet(WHY_TRIGGER), elem_id="verdict")
            with gr.Row(elem_id="start-row"):
                self._start = gr.Button("Start", variant="primary", size="lg", scale=0, min_width=150, elem_id="start")
                self._plan = html(markup.quiet(ALL_IT_NEEDS), elem_id="plan")
            self._memory = MemoryView(context)
        self._notice = html(elem_id="train-notice")  # outside, because a Start that came too late shows the run
        with gr.Column() as details:
            self._details()
        self.panels = (questions, details)

    def _details(self) -> None:
        found = bases.list_bases(self._context.studio)
        with gr.Accordion("Details", open=False, elem_id="details"):
            with gr.Row(elem_classes="fields"):
                self._name = gr.Textbox(
                    "",
                    label="Name",
                    info="What the file of your LoRA is called. Empty: as the trigger word.",
                    max_lines=1,
                    elem_id="name",
                )
                self._base = gr.Dropdown(
                    [(base.title, base.key) for base in found],
                    value=found[0].key if found else None,
                    label="Base",
                    elem_id="base",
                    info="The model that learns your pictures. The LoRA works with bases of the same family.",
                )
            self._fields = form.build()
            self._again = gr.Button("Back to the preset", size="sm", scale=0, min_width=170)

    def connect(self, load: Any, view: RunView) -> None:
        chosen = [self._preset, self._base, self._pictures.folder]
        details = [self._filled, *self._fields.values()]
        outputs = [self._notice, self._plan, *details]
        self._pictures.connect(self._notice, self._preset)
        view.another.click(lambda: "", None, self._notice, **LIGHT)
        replan, back = noticed(self._notice, self._replan), noticed(self._notice, self._refill)
        planned = [
            gr.on(
                [self._preset.input, self._base.input, self._pictures.folder.change],
                replan,
                [*chosen, *details],
                outputs,
                **HIDDEN,
            ),
            gr.on([field.input for field in self._fields.values()], replan, [*chosen, *details], outputs, **LIGHT),
            self._again.click(back, chosen, outputs, **HIDDEN),
            self._memory.connect(self._fields).then(replan, [*chosen, *details], outputs, **HIDDEN),
        ]
        opened = load(self._opened, None, [self._trigger, self._preset, *self._pictures.outputs], **HIDDEN)
        planned.append(opened.then(back, chosen, outputs, **HIDDEN))
        for event in planned:
            event.then(self._weigh, [*chosen, *details], self._memory.outputs, **HIDDEN, trigger_mode="always_last")
        gr.on(
            [self._preset.input, self._pictures.folder.change, self._trigger.blur],
            self._keep,
            [self._preset, self._pictures.folder, self._trigger],
            None,
            **LIGHT,
        )
        self._trigger.change(self._judge, [self._trigger, self._pictures.folder], [self._verdict], **LIGHT)
        gr.on(
            [self._start.click, self._trigger.submit],
            noticed(
                self._notice,
                lambda *given: self._begin(*given) | view.show(self._context.newest_run()),
                view.show_if_running,
            ),
            [self._trigger, self._name, *chosen, *details],
            [self._notice, *view.outputs],
            **HIDDEN,
        )

    def _opened(self) -> Any:
        """The page as it was left: what had been chosen stands there again."""
        kept = draft.load(self._context.studio)
        changes: Changes = {self._trigger: kept.trigger} if kept.trigger else {}
        if kept.preset in presets.presets(self._context.studio):
            changes[self._preset] = kept.preset
        try:
            found = self._pictures.load(kept.folder)
        except UserError:  # deleted since
            found = None
        return changes | (self._pictures.show(found) if found else {}) or gr.skip()

    def _keep(self, preset: str, folder: str, trigger: str) -> None:
        draft.save(self._context.studio, draft.Draft(preset, folder, trigger))

    def _refill(self, preset: str, base: str, folder: str) -> Changes:
        """The fields as the preset fills them, without what the user changed."""
        return self._replan(preset, base, folder, {}, *(None for _ in self._fields))

    def _replan(self, preset: str, base: str, folder: str, filled: dict[str, Any], *values: Any) -> Changes:
        """Fill the fields again, keep what the user changed in them, and say what is going to happen."""
        count = len(found.pictures) if (found := self._pictures.load(folder)) else 0
        place, hand = self._base_called(base), form.by_hand(values, filled)
        settings = presets.fill(self._context.studio, preset, place, max(count, 1), hand, gpu.memory())
        plain = form.shown(presets.fill(self._context.studio, preset, place, max(count, 1), card=gpu.memory()))
        wanted, shown = form.shown(settings), dict(zip(self._fields, values, strict=True))
        changed = {field: wanted[name] for name, field in self._fields.items() if wanted[name] != shown[name]}
        minutes = estimate(self._context.studio, settings, place)
        return {self._plan: markup.quiet(_plan(count, settings, minutes, place.title)), self._filled: plain} | changed

    def _weigh(
        self, preset: str, base: str, folder: str, filled: dict[str, Any], *values: Any
    ) -> Iterator[Changes]:
        """How much of the card this fills: said once it is counted, which nothing waits for."""
        try:
            place = self._base_called(base)
            hand = form.by_hand(values, filled)
            settings = presets.fill(self._context.studio, preset, place, 1, hand, gpu.memory())
        except UserError:  # said beside the fields already
            return
        yield self._memory.counting(place, settings)
        if fit.is_tight(place):
            yield self._memory.counted(place, settings)

    def _judge(self, trigger: str, folder: str) -> Changes:
        """A verdict on the trigger word while it is typed; a first letter is not yet a mistake."""
        if len(trigger.strip()) < 2:
            return {self._verdict: markup.quiet(WHY_TRIGGER)}
        try:
            found = self._pictures.load(folder)
            word, remarks = names.check_trigger(trigger, [p.caption for p in found.pictures] if found else [])
        except UserError as error:
            return {self._verdict: markup.verdict(f"{error.what} {error.remedy}", good=False)}
        said = remarks[0] if remarks else f"{word} is a good trigger word."
        return {self._verdict: markup.verdict(said, good=not remarks)}

    def _begin(
        self, trigger: str, name: str, preset: str, base: str, folder: str, filled: dict[str, Any], *values: Any
    ) -> Changes:
        found, place = self._pictures.load(folder), self._base_called(base)
        pictures = found.pictures if found else ()
        hand = form.by_hand(values, filled)
        settings = presets.fill(self._context.studio, preset, place, max(len(pictures), 1), hand, gpu.memory())
        job = runs.new_job(
            self._context.studio, name.strip() or names.safe_name(trigger), trigger, preset, place, pictures, settings
        )
        runs.require_none_running(self._context.studio)
        self._context.drawer.release()
        fit.require(self._context.studio, place, settings)
        runs.start(self._context.studio, job)
        return {}

    def _base_called(self, key: str | None) -> Any:
        if not key:
            raise UserError(
                "There is no base to train on.",
                f"Put a base into {self._context.studio.bases} and open the window again.",
            )
        return bases.find(self._context.studio, key)


def _cards(known: dict[str, presets.Preset]) -> gr.Radio:
    """Title and sentence in one label; the style sheet sets the first line as the title."""
    choices = [(f"{preset.title}\n{preset.problem or preset.description}", key) for key, preset in known.items()]
    return gr.Radio(choices, value=next(iter(known), None), label="What are you making?", elem_id="preset")


def _plan(count: int, settings: TrainSettings, minutes: float | None, base: str) -> str:
    if not count:
        return ALL_IT_NEEDS
    time = markup.duration(minutes * 60) if minutes is not None else "time known after the first steps"
    return f"{markup.counted(count, 'picture')}, {markup.counted(settings.steps, 'step')}, {time}, on {base}"
