"""The stack: the LoRAs that are drawn with, each with a switch and a strength; rows are shown as needed."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from lora_gui.refusals import bounds
from lora_gui.settings import StackEntry
from lora_gui.studio.library import scan
from lora_gui.studio.paths import Studio
from lora_gui.ui.draft import DrawDraft, Entry
from lora_gui.ui.widgets.handlers import Changes

ROWS = 8
STEP = 0.05
_LIMITS = bounds(StackEntry.model_fields["strength"])
WEAKEST, STRONGEST = _LIMITS["ge"], _LIMITS["le"]


class Stack:
    """Lays itself out where it is made. `fields` are its parts by the names that `taken` and `values` know."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._rows: list[gr.Row] = []
        self._loras: list[gr.Dropdown] = []
        self.fields: dict[str, Any] = {}
        self.removes: list[gr.Button] = []
        for number in range(ROWS):
            with gr.Row(visible=False, elem_classes="stack-row", elem_id=f"stack-{number}") as row:
                switch = gr.Checkbox(True, label="On", show_label=False, container=False, scale=0, min_width=40)
                lora = gr.Dropdown([], label="LoRA", show_label=False, container=False, scale=3, min_width=110)
                strength = gr.Slider(
                    WEAKEST, STRONGEST, 1.0, step=STEP, label="Strength", show_label=False, scale=4, min_width=130,
                    buttons=[], elem_id=f"strength-{number}",
                )  # fmt: skip
                self.removes.append(gr.Button("Remove", size="sm", scale=0, min_width=40, elem_classes="remove"))
            self._rows.append(row)
            self._loras.append(lora)
            self.fields |= {f"on-{number}": switch, f"lora-{number}": lora, f"strength-{number}": strength}
        self.outputs: list[Any] = [*self._rows, *self._loras]

    def show(self, entries: Sequence[Entry]) -> Changes:
        """Rows for these entries, with the LoRAs that are there now to choose from."""
        choices = [(lora.name, str(lora.path)) for lora in scan.usable(self._studio)]
        changes: Changes = {row: gr.update(visible=number < len(entries)) for number, row in enumerate(self._rows)}
        return changes | {lora: gr.update(choices=choices) for lora in self._loras[: len(entries)]}


def values(entries: Sequence[Entry]) -> dict[str, Any]:
    """What the fields of the rows show."""
    return {
        f"{part}-{number}": value
        for number, entry in enumerate(entries)
        for part, value in zip(("on", "lora", "strength"), entry, strict=True)
    }


def taken(stack: tuple[Entry, ...], typed: dict[str, Any]) -> tuple[Entry, ...]:
    """The stack with what the user changed in its rows."""
    rows = []
    for number, entry in enumerate(stack):
        strength = typed.get(f"strength-{number}")
        rows.append(
            Entry(
                bool(typed.get(f"on-{number}", entry.on)),
                str(typed.get(f"lora-{number}") or entry.lora),
                float(strength) if isinstance(strength, (int, float)) else entry.strength,
            )
        )
    return tuple(rows)


def without_the_gone(studio: Studio, draft: DrawDraft) -> DrawDraft:
    """The draft without LoRAs that are not there any more; those that were renamed stay."""
    there = {str(lora.path) for lora in scan.usable(studio)}
    stack = draft.stack
    if any(entry.lora not in there for entry in stack):
        renamed = scan.renamed(studio)
        stack = tuple(entry._replace(lora=renamed.get(entry.lora, entry.lora)) for entry in stack)
    return replace(draft, stack=tuple(entry for entry in stack if entry.lora in there)[:ROWS])


def settings(entries: Sequence[Entry]) -> tuple[StackEntry, ...]:
    """The rows that are switched on and name a LoRA."""
    return tuple(StackEntry(lora=entry.lora, strength=entry.strength) for entry in entries if entry.on and entry.lora)
