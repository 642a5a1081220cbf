"""The tab where one draws: what to see, the stack, Draw; the picture grows while one watches, and stays."""

import functools
import random
from pathlib import Path
from typing import Any

import gradio as gr

from lora_gui.errors import UserError
from lora_gui.settings import DrawSettings, check
from lora_gui.studio.things import bases, loras
from lora_gui.ui.context import Context
from lora_gui.ui.generate.gallery import Gallery
from lora_gui.ui.generate.stack import ROWS, Entry, Stack, settings
from lora_gui.ui.widgets import markup
from lora_gui.ui.widgets.handlers import HIDDEN, Changes, noticed
from lora_gui.ui.widgets.parts import html

CHIPS = """
element.addEventListener('click', event => {
  const word = event.target.closest('[data-word]')?.dataset.word;
  if (word) trigger('select', { word });
});
"""
NUMBERS = ("width", "height", "steps", "guidance")  # quiet ones, under Details


def build(context: Context, load: Any) -> None:
    """Lay the tab out and connect it; `load` is the event of a page that has just been opened."""
    with gr.Row(elem_classes="page wide"):
        with gr.Column(scale=5, min_width=340):
            order = _Order(context)
        with gr.Column(scale=6, min_width=360):
            gallery = Gallery(context)
    order.connect(load, gallery)
    gallery.connect(load)


class _Order:
    """What shall be drawn. Lays itself out where it is made."""

    def __init__(self, context: Context) -> None:
        self._context = context
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
            self._empty = html(markup.quiet("None in use: this draws with the base alone."))
            self._stack = Stack(context)
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
        with gr.Row(elem_id="draw-row"):
            self._draw = gr.Button("Draw", variant="primary", size="lg", scale=0, min_width=150, elem_id="draw")
            self._count = gr.Number(1, label="How many", precision=0, step=1, scale=0, min_width=110, elem_id="count")
        self._notice = html(elem_id="draw-notice")
        with gr.Accordion("Details", open=False, elem_id="draw-details"):
            self._details()

    def _details(self) -> None:
        found, fields = bases.list_bases(self._context.studio), DrawSettings.model_fields
        self._negative = gr.Textbox(
            "", label="Negative prompt", info=fields["negative_prompt"].description, lines=2, elem_id="negative"
        )
        with gr.Row(elem_classes="fields"):
            self._base = gr.Dropdown(
                [(base.title, base.key) for base in found],
                value=found[0].key if found else None,
                label="Base",
                info="The model that draws.",
                elem_id="draw-base",
            )
            with gr.Column(min_width=200):
                self._seed = gr.Number(1, label="Seed", precision=0, info=fields["seed"].description, elem_id="seed")
                self._random = gr.Checkbox(True, label="A new one each time", elem_id="random")
        with gr.Row(elem_classes="fields"):
            self._numbers = {
                name: gr.Number(
                    label=fields[name].title,
                    info=fields[name].description,
                    elem_id=f"draw-{name}",
                    min_width=140,
                    **({"precision": 0} if fields[name].annotation is int else {"step": "any"}),
                )
                for name in NUMBERS
            }

    def connect(self, load: Any, gallery: Gallery) -> None:
        rows = self._stack.inputs
        stacked = [self._notice, self._chips, self._empty, *self._stack.outputs]
        fill = noticed(self._notice, self._fill)
        gr.on([load, self._base.input], fill, [self._base], [self._notice, *self._numbers.values()], **HIDDEN)
        self._add.click(noticed(self._notice, self._added), rows, stacked, **HIDDEN)
        self._import.upload(noticed(self._notice, self._imported), [self._import, *rows], stacked, **HIDDEN)
        for number, button in enumerate(self._stack.removes):
            button.click(noticed(self._notice, functools.partial(self._removed, number)), rows, stacked, **HIDDEN)
        edited = noticed(self._notice, lambda *given: self._around(self._stack.entries(given)))
        gr.on(self._stack.edits, edited, rows, [self._notice, self._chips, self._empty], **HIDDEN)
        self._chips.select(self._inserted, [self._prompt], [self._prompt], **HIDDEN)
        self._context.wanted.change(
            noticed(self._notice, self._taken),
            [self._context.wanted, self._prompt, *rows],
            [self._prompt, *stacked],
            **HIDDEN,
        )
        inputs = [
            self._prompt,
            self._negative,
            self._base,
            self._random,
            self._seed,
            self._count,
            *self._numbers.values(),
            *rows,
        ]
        gr.on(
            [self._draw.click, self._prompt.submit],
            noticed(self._notice, functools.partial(self._begin, gallery)),
            inputs,
            [self._notice, self._seed, *gallery.outputs],
            **HIDDEN,
        )

    def _fill(self, base: str) -> Changes:
        if not base:
            raise UserError(
                "There is no base to draw with.",
                f"Put a base into {self._context.studio.bases} and open the window again.",
            )
        plain = check(DrawSettings, bases.draw_defaults(bases.find(self._context.studio, base)))
        return {component: getattr(plain, name) for name, component in self._numbers.items()}

    def _restacked(self, entries: list[Entry]) -> Changes:
        if len(entries) > ROWS:
            raise UserError(f"The stack holds {ROWS} LoRAs.", "Remove one first.")
        return self._stack.show(entries) | self._around(entries)

    def _around(self, entries: list[Entry]) -> Changes:
        """What stands beside the rows: the trigger words of the LoRAs in use, or what to do where there are none."""
        words = []
        for entry in entries:
            if entry.on and entry.lora:
                words.append(loras.describe(Path(entry.lora)).trigger)
        shown = dict.fromkeys(word for word in words if word)
        return {self._chips: markup.chips(list(shown)), self._empty: gr.update(visible=not entries)}

    def _added(self, *rows: Any) -> Changes:
        known, entries = loras.list_loras(self._context.studio), self._stack.entries(rows)
        if not known:
            raise UserError("There is no LoRA yet.", "Train one, or import a file.")
        free = [str(lora.path) for lora in known if str(lora.path) not in {entry.lora for entry in entries}]
        return self._restacked([*entries, Entry(True, (free or [str(known[0].path)])[0], 1.0)])

    def _imported(self, path: str, *rows: Any) -> Changes:
        lora = loras.import_lora(self._context.studio, Path(path))
        return self._restacked([*self._stack.entries(rows), Entry(True, str(lora.path), 1.0)])

    def _removed(self, number: int, *rows: Any) -> Changes:
        return self._restacked([entry for at, entry in enumerate(self._stack.entries(rows)) if at != number])

    def _taken(self, wanted: tuple[str, int], prompt: str, *rows: Any) -> Changes:
        """The LoRA that was just trained: into the stack at full strength, its trigger word into the prompt."""
        lora = loras.describe(Path(wanted[0]))
        others = [entry for entry in self._stack.entries(rows) if entry.lora != str(lora.path)]
        return self._restacked([Entry(True, str(lora.path), 1.0), *others]) | {
            self._prompt: _with_word(prompt, lora.trigger)
        }

    def _inserted(self, event: gr.EventData, prompt: str) -> str:
        return _with_word(prompt, str(event.word)[:200])

    def _begin(
        self,
        gallery: Gallery,
        prompt: str,
        negative: str,
        base: str,
        new_seed: bool,
        seed: int | None,
        count: int | None,
        *others: Any,
    ) -> Changes:
        if not prompt.strip():
            raise UserError("The prompt is empty.", "Write what you want to see.")
        numbers, rows = dict(zip(self._numbers, others, strict=False)), others[len(self._numbers) :]
        place = bases.find(self._context.studio, base)
        chosen = random.randrange(2**32) if new_seed or seed is None else seed
        values = {
            "prompt": prompt,
            "negative_prompt": negative,
            "seed": chosen,
            "stack": settings(self._stack.entries(rows)),
        }
        given = {name: value for name, value in {**numbers, "count": count}.items() if value is not None}
        wanted = check(DrawSettings, bases.draw_defaults(place) | given | values)
        self._context.order = self._context.drawer.order(place, wanted)
        return {self._seed: chosen} | gallery.watch()


def _with_word(prompt: str, word: str) -> str:
    """The trigger word at the beginning, once."""
    if not word or word.casefold() in prompt.casefold():
        return prompt
    return f"{word} {prompt}".strip() + ("" if prompt.strip() else " ")
