"""The tab where one draws: what to see, the stack, Draw; the picture grows while one watches, and stays."""

import functools
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from lora_gui.errors import SettingError, UserError
from lora_gui.protocol.jobs import Base
from lora_gui.settings import DrawSettings, check
from lora_gui.studio.things import bases
from lora_gui.ui.context import Context
from lora_gui.ui.draft import DrawDraft, typed_in
from lora_gui.ui.generate import axis_words, begin, brought, details, follow, parts, quick, rows, stack, together
from lora_gui.ui.generate.begin import Begin
from lora_gui.ui.generate.brought import Brought
from lora_gui.ui.generate.desk import Desk
from lora_gui.ui.generate.details import Details
from lora_gui.ui.generate.gallery import Gallery
from lora_gui.ui.generate.grids import Grids
from lora_gui.ui.generate.picker import Picker
from lora_gui.ui.generate.stack import Stack
from lora_gui.ui.generate.together import Together
from lora_gui.ui.generate.wrong import wrong
from lora_gui.ui.widgets import base_list, markup
from lora_gui.ui.widgets.base_list import BaseList
from lora_gui.ui.widgets.draft_form import DraftForm
from lora_gui.ui.widgets.handlers import HIDDEN, LIGHT, Changes
from lora_gui.ui.widgets.parts import html

DESK = Path(__file__).with_name("desk.js")
DESKED = (*together.FIELDS, *axis_words.FIELDS)  # typed by the parts of the desk
HAND = (*details.SETTINGS, *begin.SETTINGS, "turns")  # what is the base's own until it is set by hand
AS_TYPED = ("prompt", "negative", "count", "seed", "random", "on_processor")


def build(context: Context, tab: gr.Tab) -> None:
    """Lay the tab out and connect it."""
    with gr.Row(elem_classes="page wide", elem_id="desk"):
        with gr.Column(scale=2, min_width=340):
            order = _Order(context)
        with gr.Column(scale=3, min_width=360):
            gallery = Gallery(context, order.remark)
    order.connect(gallery)
    order.revisit(tab)
    gallery.connect(tab)


class _Order:
    """What shall be drawn. Lays itself out where it is made."""

    def __init__(self, context: Context) -> None:
        self._context, self._studio, self._draft = context, context.studio, context.drafts.draw
        self._still = threading.RLock()  # what is typed waits while an order is made of what was typed before
        self._prompt = gr.Textbox(
            "", label="What do you want to see?", lines=3, max_lines=8, elem_id="prompt",
            placeholder="zxy_style red apple on a blue background",
        )  # fmt: skip
        with gr.Column(elem_id="stack"):
            html(f'<h2 class="ask">LoRAs {markup.learn("strength")}</h2>')
            self._stack = Stack(context.studio)
            with gr.Row(elem_classes="under"):
                self._add = gr.Button("Add a LoRA", size="sm", scale=0, min_width=120, elem_id="add-lora")
                self._import = gr.UploadButton(
                    "Import a file", size="sm", scale=0, min_width=130, file_types=[".safetensors"],
                    elem_id="import-lora",
                )  # fmt: skip
            stacks = html(elem_id="stacks")
            self._picker = Picker(context)
        self._together = Together(context)
        base = BaseList(context.studio, info="The model that draws; it follows your LoRAs.", elem_id="draw-base")
        base.connect(context.live)
        self._quick = html(js_on_load=quick.ACTS, elem_id="quick")
        with gr.Row(elem_id="draw-row"):
            self._draw = gr.Button("Draw", variant="primary", size="lg", scale=0, min_width=150, elem_id="draw")
            self._again = gr.Button("Again with this", size="lg", scale=0, min_width=140, elem_id="draw-again")
        notice = html(elem_id="draw-notice")
        self.remark = html(js_on_load=quick.ACTS, elem_id="draw-remark")
        self._begin_with = Begin(context.studio)
        with gr.Accordion("Details", open=False, elem_id="draw-details"):
            self._details = Details(context.studio)
        self._grids = Grids(context)
        self._brought = Brought(context.studio, self._begin_with)
        pieces = (self._stack, self._together, self._begin_with, self._details, self._grids)
        typed = {"prompt": self._prompt, "base": base.field} | {k: v for one in pieces for k, v in one.fields.items()}
        html(js_on_load=DESK.read_text(encoding="utf-8"))
        said = {"notice": notice, "quick": self._quick, "stacks": stacks}
        said |= {name: piece for one in pieces for name, piece in one.said.items()}
        self._form = DraftForm("draw", typed, said, "draw-details")

    def connect(self, gallery: Gallery) -> None:
        shown, live = self._form.shown, self._context.live
        outputs = [*self._form.outputs, *self._stack.outputs, self._begin_with.fold]
        carried: dict[str, Any] = {"js": self._form.carries} | HIDDEN
        self._form.connect(self._edited, outputs)
        live.watch(self._look, [shown], outputs)
        live.fills(self._form)
        presses: list[tuple[Any, Callable[..., DrawDraft], list[Any]]] = [
            (self._import.upload, functools.partial(brought.imported, self._studio), [self._import]),
            *((button.click, functools.partial(stack.removed, n), []) for n, button in enumerate(self._stack.removes)),
        ]
        for press, change, more in presses:
            pressed = press(self._changing(change), [shown, *more], outputs, **carried)
            live.after(self._form.filled(pressed), "#add-lora")
        picking = [*outputs, *self._picker.outputs]
        live.after(self._form.filled(self._add.click(self._opened, [shown], picking, **carried)))
        chosen = self._picker.picks.select(self._picked, [shown], picking, **carried)
        live.after(self._form.filled(chosen), "#add-lora")
        self._picker.connect()
        for press, answer in (
            (self._quick.select, self._quickly),
            (self._details.ratios.select, self._quickly),
            (self.remark.select, self._quickly),
            (self._stack.acts.select, self._acted),
        ):
            self._form.filled(press(answer, [shown], outputs, **carried))
        desk = Desk(self._context, self._form, outputs, self._take, self._change, self._restacked, self.asked,
                    self._still)  # fmt: skip
        self._together.connect(desk, self._grids.strengths, gallery.sheets.outputs)
        gallery.sheets.connect(desk)
        self._grids.connect(desk, gallery.sheets)
        self._brought.connect(desk, gallery.stage, self._grids.apart, gallery.sheets.outputs)
        for button, is_next in ((self._draw, False), (self._again, True)):
            draw = functools.partial(self._drawn, gallery, next_seed=is_next)
            every = carried | {"trigger_mode": "multiple"}  # a second press is a second order
            live.after(self._form.filled(button.click(draw, [shown], [*outputs, *gallery.sheets.outputs], **every)))

    def revisit(self, tab: gr.Tab) -> None:
        """Let whoever comes to the tab see what became of the LoRAs of the stack meanwhile."""
        self._form.filled(tab.select(self._revisited, None, [*self._form.outputs, *self._stack.outputs], **LIGHT))

    def _revisited(self) -> Any:
        return self._restacked(pressed=False) if self._draft.value.stack else gr.skip()

    def _look(self, shown: dict[str, Any]) -> Changes:
        """What stands in the draft, for a page that has just been opened or shows an older one."""
        if shown and shown.get("number") == self._draft.get()[0]:
            return {}
        opened = {} if shown else self._begin_with.unfolded(self._draft.value)
        return self._restacked(pressed=False) | opened

    def _edited(self, event: gr.EventData, shown: dict[str, Any]) -> Changes:
        before = [entry.lora for entry in self._draft.value.stack]
        problem = self._take(event.changes)
        is_same = before == [entry.lora for entry in self._draft.value.stack]
        return (self._shows if is_same else self._restacked)(problem, pressed=False)

    def _take(self, changes: Any) -> UserError | None:
        """Put what the user typed into the draft; an emptied number is the base's own again."""
        given, problem = typed_in(changes)

        def taken(draft: DrawDraft) -> DrawDraft:
            typed = self._draft.newest(given)
            hand = draft.hand | {name: typed[name] for name in HAND if name in typed}
            desk = draft.desk | {name: typed[name] for name in DESKED if name in typed}
            words = {name: str(typed[name] or "") for name in ("prompt", "negative", "base") if name in typed}
            others = {name: typed[name] for name in ("count", "seed", "random", "on_processor") if name in typed}
            hand = {name: value for name, value in hand.items() if value is not None}
            changed = replace(draft, **words, **others, hand=hand, desk=desk, stack=stack.taken(draft.stack, typed))  # type: ignore[arg-type]
            return axis_words.filled(self._studio, draft, changed)

        kept = self._change(taken)
        return problem or kept

    def _change(self, change: Callable[[DrawDraft], DrawDraft]) -> UserError | None:
        """Put `change` of the draft in its place, the rows of the stack and the words of the prompt in step.

        What was said of the draft is true no more once anything changes.
        """

        def changed(draft: DrawDraft) -> DrawDraft:
            bare = replace(draft, note="")
            after = stack.in_step(self._studio, bare, change(bare))
            return draft if after == bare else after

        with self._still:
            return self._draft.change(changed)

    def _shows(self, problem: UserError | None = None, pressed: bool = True, at: str = "notice") -> Changes:
        """How all the fields stand; `at` has a `problem`."""
        try:
            problem = self._draft.change(functools.partial(follow.followed, self._studio)) or problem
        except UserError as error:  # there is no base at all
            problem = problem or error
        number, draft, took = self._draft.get()
        values: dict[str, Any] = {name: getattr(draft, name) for name in AS_TYPED}
        faults, focus, family, said = dict[str, SettingError](), "", "", draft.note
        try:
            base = self._base(draft)
            family = base.family
            plain = check(DrawSettings, bases.draw_defaults(base))
            values |= {"base": base.key} | {name: draft.hand.get(name, getattr(plain, name)) for name in HAND}
            size = values["width"], values["height"]
            values |= {"quick": quick.told(draft, base, size)} | self._details.told(base, size)
            faults = wrong(draft, base)
            said = follow.missing(self._studio, draft, base) or said
        except UserError as error:
            problem = problem or error
        if isinstance(problem, SettingError):
            faults, focus = {problem.setting: problem} | faults, problem.setting
        values |= stack.values(draft.stack) | self._stack.told(draft, family) | self._together.told(draft)
        values |= self._grids.told(draft) | self._begin_with.told(draft)
        at_field = focus in ("prompt", *self._details.fields, *self._stack.fields)  # where it stands already
        values["notice"] = markup.notice(said, kind="note")
        values |= {at: markup.problem(problem)} if problem and not at_field else {}
        return self._form.answer(number, took, values, faults, focus, pressed, pressed and bool(problem))

    def _restacked(self, problem: UserError | None = None, pressed: bool = True, at: str = "notice") -> Changes:
        """The fields, as `_shows`, and the rows of the stack."""
        problem = self._draft.change(functools.partial(stack.found_again, self._studio)) or problem
        rows = self._stack.show(self._draft.value.stack)  # first: what is told of the rows needs their covers
        return rows | self._shows(problem, pressed, at)

    def _changing(self, change: Callable[..., DrawDraft]) -> Callable[..., Changes]:
        """A handler that puts `change` of the draft in its place."""

        def call(shown: dict[str, Any], *given: Any) -> Changes:
            self._take(shown.get("changes"))
            try:
                return self._restacked(self._change(lambda draft: stack.checked(change(draft, *given))))
            except UserError as error:
                return self._restacked(error)

        return call

    def _opened(self, shown: dict[str, Any]) -> Changes:
        """Your LoRAs, to choose from."""
        problem = self._take(shown.get("changes"))
        try:
            return self._restacked(problem) | self._picker.shown()
        except UserError as error:
            return self._restacked(error)

    def _picked(self, event: gr.EventData, shown: dict[str, Any]) -> Changes:
        self._take(shown.get("changes"))
        try:
            added = self._change(lambda draft: stack.checked(self._picker.added(draft, str(event.pick))))
        except UserError as error:
            return self._restacked(error)
        return self._restacked(added) | self._picker.hidden()

    def _acted(self, event: gr.EventData, shown: dict[str, Any]) -> Changes:
        """What was pressed in a row of the stack, or among the named ones."""
        number, word = int(event.row), str(event.word)[:200]
        acts: dict[str, Callable[[DrawDraft], DrawDraft]] = {
            "part": lambda draft: parts.changed(draft, number, word),
            "word": lambda draft: replace(draft, prompt=rows.toggled(draft.prompt, word)),
            "up": lambda draft: stack.moved(draft, number, -1),
            "down": lambda draft: stack.moved(draft, number, 1),
            "call": lambda draft: stack.called(self._studio, draft, word),
            "save": lambda draft: stack.saved(self._studio, draft, word),
            "forget": lambda draft: stack.forgotten(self._studio, draft, word),
        }
        return self._changing(acts[str(event.act)])(shown)

    def _quickly(self, event: gr.EventData, shown: dict[str, Any]) -> Changes:
        act, word = str(event.act), str(event.word)
        return self._changing(lambda draft: quick.pressed(draft, self._base(draft), act, word))(shown)

    def _drawn(self, gallery: Gallery, shown: dict[str, Any], next_seed: bool = False) -> Changes:
        try:
            with self._still:
                if isinstance(problem := self._take(shown.get("changes")), SettingError):
                    raise problem
                self._begin(next_seed)
        except UserError as error:
            return self._restacked(error)
        return self._restacked() | gallery.sheets.aside()

    def _begin(self, next_seed: bool) -> None:
        """Order what the draft says; with `next_seed` the same once more, the seed after those of the last time."""
        base, wanted = self.asked(next_seed)
        self._context.drawer.order(base, wanted, on_processor=self._draft.value.on_processor)
        self._draft.change(lambda now: replace(now, seed=wanted.seed, note=""))

    def asked(self, next_seed: bool = False) -> tuple[Base, DrawSettings]:
        """What the draft asks to be drawn. Raises UserError where it cannot be."""
        draft = stack.found_again(self._studio, self._draft.value)
        if not draft.prompt.strip():
            raise SettingError("The prompt is empty.", "Write what you want to see.", "prompt")
        base = self._base(draft)
        for error in wrong(draft, base).values():
            raise error
        values = draft.hand | {
            "prompt": stack.untagged(self._studio, draft),
            "negative_prompt": draft.negative,
            "seed": quick.seed(draft, next_seed),
            "stack": stack.settings(draft.stack),
            **self._begin_with.settings(draft),
        }
        count = {} if draft.count is None else {"count": draft.count}
        return base, check(DrawSettings, bases.draw_defaults(base) | values | count)

    def _base(self, draft: DrawDraft) -> Base:
        return base_list.chosen(self._studio, draft.base)
