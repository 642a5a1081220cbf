"""The stack: the LoRAs that are drawn with, each with a switch and a strength; rows are shown as needed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from lora_gui.settings import StackEntry
from lora_gui.studio.things import loras
from lora_gui.ui.context import Context
from lora_gui.ui.widgets.handlers import Changes

ROWS = 8
STRONGEST, STEP = 1.5, 0.05


@dataclass(frozen=True)
class Entry:
    """One row as it stands in the window."""

    on: bool
    lora: str | None  # path
    strength: float


class Stack:
    """Lays itself out where it is made. `inputs` go to every handler that asks `entries` what is in the stack."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._count = gr.State(0)
        self._rows: list[gr.Row] = []
        self._parts: list[tuple[gr.Checkbox, gr.Dropdown, gr.Slider]] = []
        self.removes: list[gr.Button] = []
        for number in range(ROWS):
            with gr.Row(visible=False, elem_classes="stack-row", elem_id=f"stack-{number}") as row:
                switch = gr.Checkbox(True, label="On", show_label=False, container=False, scale=0, min_width=40)
                lora = gr.Dropdown([], label="LoRA", show_label=False, container=False, scale=3, min_width=110)
                strength = gr.Slider(
                    0, STRONGEST, 1.0, step=STEP, label="Strength", show_label=False, scale=4, min_width=130, buttons=[]
                )
                self.removes.append(gr.Button("Remove", size="sm", scale=0, min_width=40, elem_classes="remove"))
            self._rows.append(row)
            self._parts.append((switch, lora, strength))
        flat = [component for parts in self._parts for component in parts]
        self.inputs: list[Any] = [self._count, *flat]
        self.outputs: list[Any] = [self._count, *self._rows, *flat]

    @property
    def edits(self) -> list[Any]:
        """The events by which the user changes a row."""
        return [event for switch, lora, _ in self._parts for event in (switch.input, lora.input)]

    def entries(self, given: Sequence[Any]) -> list[Entry]:
        """What `inputs` gave."""
        count, values = given[0], given[1:]
        return [Entry(bool(values[3 * n]), values[3 * n + 1], float(values[3 * n + 2])) for n in range(count)]

    def show(self, entries: Sequence[Entry]) -> Changes:
        """Rows for these entries, with the LoRAs that are there now to choose from."""
        choices = [(lora.name, str(lora.path)) for lora in loras.list_loras(self._context.studio)]
        there = {path for _, path in choices}
        entries = [entry for entry in entries if not entry.lora or entry.lora in there][:ROWS]
        changes: Changes = {self._count: len(entries)}
        for number, (row, (switch, lora, strength)) in enumerate(zip(self._rows, self._parts, strict=True)):
            changes[row] = gr.update(visible=number < len(entries))
            if number < len(entries):
                changes |= {switch: entries[number].on, strength: entries[number].strength}
                changes[lora] = gr.update(choices=choices, value=entries[number].lora)
        return changes


def settings(entries: Sequence[Entry]) -> tuple[StackEntry, ...]:
    """The rows that are switched on and name a LoRA."""
    return tuple(StackEntry(lora=entry.lora, strength=entry.strength) for entry in entries if entry.on and entry.lora)
