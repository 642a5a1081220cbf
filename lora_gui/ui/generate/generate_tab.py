"""The tab where one draws: what to see, the stack, Draw; the picture grows while one watches, and stays."""

import functools
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from lora_gui.errors import SettingError, UserError
from lora_gui.protocol.jobs import Base
from lora_gui.settings import DrawSettings, check
from lora_gui.studio.capacity import gpu
from lora_gui.studio.things import bases, loras
from lora_gui.ui.context import Context
from lora_gui.ui.draft import DrawDraft, Entry, is_typed, with_word
from lora_gui.ui.generate import follow, stack
from lora_gui.ui.generate.gallery import Gallery
from lora_gui.ui.generate.picker import Picker
from lora_gui.ui.generate.stack import ROWS, Stack
from lora_gui.ui.generate.wrong import wrong
from lora_gui.ui.widgets import base_list, form, markup
from lora_gui.ui.widgets.base_list import BaseList
from lora_gui.ui.widgets.draft_form import DraftForm
from lora_gui.ui.widgets.handlers import HIDDEN, Changes
from lora_gui.ui.widgets.parts import html

CHIPS = """
element.addEventListener('click', event => {
  const word = event.target.closest('[data-word]')?.dataset.word;
  if (word) trigger('select', { word });
});
"""
NUMBERS = ("width", "height", "steps", "guidance")  # quiet ones, under Details
HAND = (*NUMBERS, "prediction")  # what is the base's own until it is set by hand
AS_TYPED = ("prompt", "negative", "count", "seed", "random", "on_processor")
NOTHING_IN_USE = markup.quiet("None in use: this draws with the base alone.")


def build(context: Context, tab: gr.Tab) -> None:
    """Lay the tab out and connect it."""
    with gr.Row(elem_classes="page wide"):
        with gr.Column(scale=5, min_width=340):
            order = _Order(context)
        with gr.Column(scale=6, min_width=360):
            gallery = Gallery(context)
    order.connect(gallery)
    gallery.connect()


class _Order:
    """What shall be drawn. Lays itself out where it is made."""

    def __init__(self, context: Context) -> None:
        self._context, self._studio, self._draft = context, context.studio, context.drafts.draw
        self._prompt = gr.Textbox(
            label="What do you want to see?",
            value="",
            lines=3,
            max_lines=8,
            placeholder="zxy_style red apple on a blue background",
            elem_id="prompt",
        )
        self._chips = html(js_on_load=CHIPS, elem_id="chips")
        with gr.Column(elem_id="stack"):
            html('<h2 class="ask">LoRAs</h2>')
            empty = html(NOTHING_IN_USE)
            self._stack = Stack(context.studio)
            with gr.Row(elem_classes="under"):
                self._add = gr.Button("Add a LoRA", size="sm", scale=0, min_width=120, elem_id="add-lora")
                self._import = gr.UploadButton(
                    "Import a file",
                    size="sm",
                    scale=0,
                    min_width=130,
                    file_types=[".safetensors"],
                    elem_id="import-lora",
                )
            self._picker = Picker(context)
        base = BaseList(context.studio, info="The model that draws; it follows your LoRAs.", elem_id="draw-base")
        base.connect(context.live)
        with gr.Row(elem_id="draw-row"):
            self._draw = gr.Button("Draw", variant="primary", size="lg", scale=0, min_width=150, elem_id="draw")
            many = DrawSettings.model_fields["count"].title
            count = gr.Number(1, label=many, step=1, scale=0, min_width=110, elem_id="count")
        notice = html(elem_id="draw-notice")
        with gr.Accordion("Details", open=False, elem_id="draw-details"):
            details = _details()
        typed = {"prompt": self._prompt, "base": base.field, "count": count} | details | self._stack.fields
        said = {"chips": self._chips, "empty": empty, "notice": notice}
        self._form = DraftForm("draw", typed, said, "draw-details")

    def connect(self, gallery: Gallery) -> None:
        shown, live = self._form.shown, self._context.live
        outputs = [*self._form.outputs, *self._stack.outputs]
        carried: dict[str, Any] = {"js": self._form.carries} | HIDDEN
        self._form.connect(self._edited)
        live.watch(self._look, [shown], outputs)
        live.fills(self._form)
        presses: list[tuple[Any, Callable[..., DrawDraft], list[Any]]] = [
            (self._import.upload, self._imported, [self._import]),
            *((button.click, functools.partial(_removed, n), []) for n, button in enumerate(self._stack.removes)),
        ]
        for press, change, more in presses:
            pressed = press(self._changing(change), [shown, *more], outputs, **carried)
            live.after(self._form.filled(pressed), "#add-lora")
        picking = [*outputs, *self._picker.outputs]
        live.after(self._form.filled(self._add.click(self._opened, [shown], picking, **carried)))
        chosen = self._picker.picks.select(self._picked, [shown], picking, **carried)
        live.after(self._form.filled(chosen), "#add-lora")
        self._picker.connect()
        self._form.filled(self._chips.select(self._inserted, [shown], outputs, **carried))
        drawn = gr.on(
            [self._draw.click, self._prompt.submit],
            functools.partial(self._drawn, gallery),
            [shown],
            [*outputs, *gallery.outputs],
            **carried,
        )
        live.after(self._form.filled(drawn))

    def _look(self, shown: dict[str, Any]) -> Changes:
        """What stands in the draft, for a page that has just been opened or shows an older one."""
        if shown and shown.get("number") == self._draft.get()[0]:
            return {}
        return self._restacked(pressed=False)

    def _edited(self, event: gr.EventData, shown: dict[str, Any]) -> Changes:
        return self._shows(self._take(event.changes), pressed=False)

    def _take(self, changes: Any) -> UserError | None:
        """Put what the user typed into the draft; an emptied number is the base's own again."""
        typed = {str(name): value for name, value in dict(changes or {}).items() if value is None or is_typed(value)}

        def taken(draft: DrawDraft) -> DrawDraft:
            hand = draft.hand | {name: typed[name] for name in HAND if name in typed}
            words = {name: str(typed[name] or "") for name in ("prompt", "negative", "base") if name in typed}
            others = {name: typed[name] for name in ("count", "seed", "random", "on_processor") if name in typed}
            hand = {name: value for name, value in hand.items() if value is not None}
            changed = replace(draft, **words, **others, hand=hand, stack=stack.taken(draft.stack, typed))  # type: ignore[arg-type]
            return draft if changed == draft else replace(changed, note="")

        return self._draft.change(taken)

    def _shows(self, problem: UserError | None = None, pressed: bool = True) -> Changes:
        """How all the fields stand."""
        try:
            problem = self._draft.change(functools.partial(follow.followed, self._studio)) or problem
        except UserError as error:  # there is no base at all
            problem = problem or error
        number, draft = self._draft.get()
        values: dict[str, Any] = {name: getattr(draft, name) for name in AS_TYPED}
        faults, focus = dict[str, SettingError](), ""
        try:
            base = self._base(draft)
            plain = check(DrawSettings, bases.draw_defaults(base))
            values |= {"base": base.key} | {name: draft.hand.get(name, getattr(plain, name)) for name in HAND}
            faults = wrong(draft, base)
        except UserError as error:
            problem = problem or error
        if isinstance(problem, SettingError):
            faults, focus = {problem.setting: problem} | faults, problem.setting
        words = [loras.describe(Path(entry.lora)).trigger for entry in draft.stack if entry.on and entry.lora]
        values |= stack.values(draft.stack)
        values["chips"] = markup.chips(list(dict.fromkeys(word for word in words if word)))
        values["empty"] = "" if draft.stack else NOTHING_IN_USE
        said = follow.missing(self._studio, draft) or draft.note
        values["notice"] = markup.problem(problem) if problem else markup.notice(said, kind="note")
        return self._form.answer(number, values, wrong=faults, focus=focus, pressed=pressed)

    def _restacked(self, problem: UserError | None = None, pressed: bool = True) -> Changes:
        """The fields and the rows of the stack."""
        problem = self._draft.change(functools.partial(stack.without_the_gone, self._studio)) or problem
        return self._shows(problem, pressed) | self._stack.show(self._draft.value.stack)

    def _changing(self, change: Callable[..., DrawDraft]) -> Callable[..., Changes]:
        """A handler that puts `change` of the draft in its place."""

        def call(shown: dict[str, Any], *given: Any) -> Changes:
            self._take(shown.get("changes"))
            try:
                return self._restacked(self._draft.change(lambda draft: _checked(change(draft, *given))))
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
        name = str(event.pick)
        try:
            added = self._draft.change(lambda draft: _checked(self._picker.added(draft, name)))
        except UserError as error:
            return self._restacked(error)
        return self._restacked(added) | self._picker.hidden()

    def _imported(self, draft: DrawDraft, path: str) -> DrawDraft:
        lora = loras.import_lora(self._studio, Path(path))
        return replace(draft, stack=(*draft.stack, Entry(True, str(lora.path), 1.0)))

    def _inserted(self, event: gr.EventData, shown: dict[str, Any]) -> Changes:
        self._take(shown.get("changes"))
        word = str(event.word)[:200]
        return self._restacked(self._draft.change(lambda draft: replace(draft, prompt=with_word(draft.prompt, word))))

    def _drawn(self, gallery: Gallery, shown: dict[str, Any]) -> Changes:
        self._take(shown.get("changes"))
        try:
            self._begin()
        except UserError as error:
            return self._restacked(error)
        return self._restacked() | gallery.watch()

    def _begin(self) -> None:
        draft = self._draft.value
        if not draft.prompt.strip():
            raise SettingError("The prompt is empty.", "Write what you want to see.", "prompt")
        base = self._base(draft)
        for error in wrong(draft, base).values():
            raise error
        values = draft.hand | {
            "prompt": draft.prompt,
            "negative_prompt": draft.negative,
            "seed": random.randrange(2**32) if draft.random or draft.seed is None else draft.seed,
            "stack": stack.settings(draft.stack),
        }
        count = {} if draft.count is None else {"count": draft.count}
        wanted = check(DrawSettings, bases.draw_defaults(base) | values | count)
        self._context.order = self._context.drawer.order(base, wanted, on_processor=draft.on_processor)
        self._draft.change(lambda now: replace(now, seed=wanted.seed))

    def _base(self, draft: DrawDraft) -> Base:
        return base_list.chosen(self._studio, draft.base)


def _details() -> dict[str, Any]:
    fields = DrawSettings.model_fields
    negative = gr.Textbox(
        "", label="Negative prompt", info=fields["negative_prompt"].description, lines=2, elem_id="negative"
    )
    with gr.Row(elem_classes="fields"), gr.Column(min_width=200):
        seed = gr.Number(1, label="Seed", info=fields["seed"].description, step=1, elem_id="seed")
        new_seed = gr.Checkbox(True, label="A new one each time", elem_id="random")
        on_processor = gr.Checkbox(
            False, label="Draw on the processor", elem_id="on-processor", visible=bool(gpu.memory()),
            info="Slower, but beside a training that has the card.",
        )  # fmt: skip
    with gr.Row(elem_classes="fields"):
        numbers = {
            name: gr.Number(
                label=fields[name].title,
                info=fields[name].description,
                elem_id=f"draw-{name}",
                min_width=140,
                **({"step": 1} if fields[name].annotation is int else {"step": "any"}),
            )
            for name in NUMBERS
        }
    predicts = form.component("prediction", fields["prediction"], "draw")
    rest = {"random": new_seed, "on_processor": on_processor, "prediction": predicts}
    return {"negative": negative, "seed": seed} | rest | numbers


def _removed(number: int, draft: DrawDraft) -> DrawDraft:
    return replace(draft, stack=tuple(entry for at, entry in enumerate(draft.stack) if at != number))


def _checked(draft: DrawDraft) -> DrawDraft:
    """Raises UserError where the stack has more rows than the window."""
    if len(draft.stack) > ROWS:
        raise UserError(f"The stack holds {ROWS} LoRAs.", "Remove one first.")
    return draft
