"""The stack: the LoRAs that are drawn with, each with a switch and a strength; rows are shown as needed."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from lora_gui.errors import UserError
from lora_gui.refusals import bounds
from lora_gui.settings import StackEntry, check
from lora_gui.studio.library import covers, scan, shelf
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import loras, stacks, tags
from lora_gui.studio.things.tags import Strengths
from lora_gui.ui.draft import DrawDraft, Entry, entry_of
from lora_gui.ui.generate import parts, rows
from lora_gui.ui.widgets import markup
from lora_gui.ui.widgets.handlers import Changes
from lora_gui.ui.widgets.parts import html
from lora_gui.ui.widgets.thumbnails import Thumbnails

ROWS = 8
STEP = 0.01
SIDE = 96  # px of a cover
_LIMITS = bounds(StackEntry.model_fields["strength"])
REPLACED = "Its file was replaced since it came into the stack; the new one is drawn."
WEAKEST, STRONGEST = _LIMITS["ge"], _LIMITS["le"]


class Stack:
    """Lays itself out where it is made. `fields` are its parts by the names that `taken` and `values` know, `said` what
    it tells in the form's answers. `acts.select` brings what was pressed in a row: its `act`, `row` and `word`."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._rows: list[gr.Row] = []
        self._loras: list[gr.Dropdown] = []
        self._named: list[tuple[gr.Checkbox, gr.Slider, gr.Button]] = []  # of each row, what is named after its LoRA
        self._covers: dict[str, str] = {}  # addresses by the paths of LoRAs
        self._first: dict[str, str] = {}  # the weights of LoRAs as they were first seen in the stack
        self.fields: dict[str, Any] = {}
        self.said: dict[str, gr.HTML] = {}
        self.acts = html(js_on_load=rows.ACTS + parts.ACTS)
        self.removes: list[gr.Button] = []
        for number in range(ROWS):
            with gr.Row(visible=False, elem_classes="stack-row", elem_id=f"stack-{number}") as row:
                switch = gr.Checkbox(True, label="On", show_label=False, container=False, scale=0, min_width=40)
                lora = gr.Dropdown([], label="LoRA", show_label=False, container=False, scale=3, min_width=110)
                strength = gr.Slider(
                    WEAKEST, STRONGEST, 1.0, step=STEP, label="Strength", show_label=False, scale=4, min_width=130,
                    buttons=[], elem_id=f"strength-{number}",
                )  # fmt: skip
                remove = gr.Button("Remove", size="sm", scale=0, min_width=40, elem_classes="remove")
                self.said[f"about-{number}"] = html(elem_classes="about")
            self._rows.append(row)
            self._loras.append(lora)
            self._named.append((switch, strength, remove))
            self.removes.append(remove)
            self.fields |= {f"on-{number}": switch, f"lora-{number}": lora, f"strength-{number}": strength}
        self.said["advice"] = html(elem_id="advice")
        self.outputs: list[Any] = [*self._rows, *self._loras, *(part for row in self._named for part in row)]

    def show(self, entries: Sequence[Entry]) -> Changes:
        """Rows for these entries, with the LoRAs that are there now to choose from."""
        self._covers = self._covered(entries)
        usable = {str(lora.path): lora.name for lora in scan.usable(self._studio)}
        gone = {entry.lora: Path(entry.lora).stem for entry in entries if entry.lora and entry.lora not in usable}
        choices = [(name, path) for path, name in (usable | gone).items()]
        changes: Changes = {row: gr.update(visible=number < len(entries)) for number, row in enumerate(self._rows)}
        for entry, lora, (switch, strength, remove) in zip(entries, self._loras, self._named, strict=False):
            name = Path(entry.lora).stem
            changes |= {lora: gr.update(choices=choices), switch: gr.update(label=f"Use {name}")}
            changes |= {strength: gr.update(label=f"Strength of {name}"), remove: gr.update(value=f"Remove {name}")}
        return changes

    def told(self, draft: DrawDraft, family: str) -> dict[str, str]:
        """What stands in the rows and under them, for a base of this `family`."""
        shown = {
            f"about-{number}": rows.about(number, draft.stack, draft.prompt, family, self._covers.get(entry.lora, ""))
            + (markup.quiet(REPLACED) if self._is_replaced(entry.lora) else "")
            + parts.fields(number, entry)
            for number, entry in enumerate(draft.stack[:ROWS])
        }
        self._first = {lora: was for lora, was in self._first.items() if any(lora == one.lora for one in draft.stack)}
        return shown | {"advice": rows.advice(draft.stack), "stacks": rows.named(stacks.stacks(self._studio))}

    def _is_replaced(self, lora: str) -> bool:
        """Whether a LoRA has other weights than when it was first seen in the stack."""
        try:
            now = loras.fingerprint(Path(lora))
        except UserError:
            return False
        return self._first.setdefault(lora, now) != now

    def _covered(self, entries: Sequence[Entry]) -> dict[str, str]:
        if not entries:
            return {}
        cards, address = shelf.shelf(self._studio), Thumbnails(self._studio, SIDE)
        found = {entry.lora: cards.find(Path(entry.lora)) for entry in entries}
        pictures = {lora: covers.cover(self._studio, card) for lora, card in found.items() if card}
        return {lora: address(picture) for lora, picture in pictures.items() if picture}


def values(entries: Sequence[Entry]) -> dict[str, Any]:
    """What the fields of the rows show."""
    return {
        f"{part}-{number}": value
        for number, entry in enumerate(entries)
        for part, value in zip(("on", "lora", "strength"), entry, strict=False)
    }


def taken(stack: tuple[Entry, ...], typed: dict[str, Any]) -> tuple[Entry, ...]:
    """The stack with what the user changed in its rows."""
    rows = []
    for number, entry in enumerate(stack):
        strength = typed.get(f"strength-{number}")
        rows.append(
            entry._replace(
                on=bool(typed.get(f"on-{number}", entry.on)),
                lora=str(typed.get(f"lora-{number}") or entry.lora),
                strength=float(strength) if isinstance(strength, (int, float)) else entry.strength,
            )
        )
    return tuple(rows)


def found_again(studio: Studio, draft: DrawDraft) -> DrawDraft:
    """The draft with LoRAs that were renamed under their new names, also in the prompt; one that is gone stays, and its
    row says so."""
    there = {str(lora.path) for lora in scan.usable(studio)}
    if all(entry.lora in there for entry in draft.stack):
        return draft
    moved = {one.lora: scan.now_at(studio, one.lora) or one.lora for one in draft.stack if one.lora not in there}
    names = {Path(was).stem: Path(now).stem for was, now in moved.items()}
    stack = tuple(one._replace(lora=moved.get(one.lora, one.lora)) for one in draft.stack)
    return replace(draft, stack=stack, prompt=tags.renamed(draft.prompt, names))


def removed(number: int, draft: DrawDraft) -> DrawDraft:
    """The draft without one row of the stack."""
    return replace(draft, stack=tuple(entry for at, entry in enumerate(draft.stack) if at != number))


def checked(draft: DrawDraft) -> DrawDraft:
    """Raises UserError where the stack has more rows than the window."""
    if len(draft.stack) > ROWS:
        raise UserError(f"The stack holds {ROWS} LoRAs.", "Remove one first.")
    return draft


def moved(draft: DrawDraft, number: int, by: int) -> DrawDraft:
    """The draft with one row of the stack one place further up or down; as it is where there is no such place."""
    stack, other = list(draft.stack), number + by
    if min(number, other) < 0 or max(number, other) >= len(stack):
        return draft
    stack[number], stack[other] = stack[other], stack[number]
    return replace(draft, stack=tuple(stack))


def in_step(studio: Studio, before: DrawDraft, after: DrawDraft) -> DrawDraft:
    """`after` with its stack as its prompt says, where the LoRAs in that changed; else its prompt as its stack says."""
    if "<" not in before.prompt + after.prompt:
        return after
    old, new = tags.named(studio, before.prompt), tags.named(studio, after.prompt)
    if old != new:
        kept = [entry for entry in after.stack if entry.lora in new or entry.lora not in old]
        kept += [Entry(True, lora, 1.0) for lora in new if lora not in {entry.lora for entry in kept}]
        stack = [_at(entry, new[entry.lora]) if entry.lora in new else entry for entry in kept]
        return replace(after, stack=tuple(stack[:ROWS]))
    if before.stack == after.stack:
        return after
    gone: dict[str, Strengths | None] = {entry.lora: None for entry in (*before.stack, *after.stack)}
    return replace(after, prompt=tags.put(studio, after.prompt, gone | _strengths(after.stack)))


def untagged(studio: Studio, draft: DrawDraft) -> str:
    """The prompt without the LoRAs that stand in the rows too."""
    if "<" not in draft.prompt:
        return draft.prompt
    return tags.put(studio, draft.prompt, dict.fromkeys(_strengths(draft.stack)))


def _strengths(entries: Sequence[Entry]) -> dict[str, Strengths]:
    return {entry.lora: _said(entry) for entry in entries if entry.on and entry.lora}


def _said(entry: Entry) -> Strengths:
    """What a tag says of a row; shares of single blocks have no place in it."""
    return Strengths(entry.strength, None if entry.text_strength == entry.strength else entry.text_strength)


def _at(entry: Entry, said: Strengths) -> Entry:
    return entry._replace(on=True, strength=said.strength, text_strength=said.text)


def called(studio: Studio, draft: DrawDraft, name: str) -> DrawDraft:
    """The draft with the stack that was saved under `name`. Raises UserError where there is none.

    What was saved of LoRAs that are not there any more is left out, which the draft's note says.
    """
    there = {lora.path.name: str(lora.path) for lora in scan.usable(studio)}
    saved = stacks.find(studio, name)
    found = tuple(entry_of(row, row.on)._replace(lora=there[row.lora]) for row in saved if row.lora in there)
    lost = [row.lora.removesuffix(scan.SUFFIX) for row in saved if row.lora not in there]
    note = f"Not in your studio any more, and left out: {', '.join(lost)}." if lost else ""
    return replace(draft, stack=found[:ROWS], note=note)


def saved(studio: Studio, draft: DrawDraft, name: str) -> DrawDraft:
    """Keep the stack under `name`; the draft with a note that says so. Raises UserError where it cannot be kept."""
    rows = (entry.values | {"lora": Path(entry.lora).name, "on": entry.on} for entry in draft.stack if entry.lora)
    kept = tuple(check(stacks.Row, row) for row in rows)
    return replace(draft, note=f"The stack is kept as {stacks.save(studio, name, kept)}.")


def forgotten(studio: Studio, draft: DrawDraft, name: str) -> DrawDraft:
    """Forget the stack called `name`. Raises UserError where there is none."""
    stacks.remove(studio, name)
    return replace(draft, note=f"{name} is no saved stack any more; your LoRAs are as they were.")


def settings(entries: Sequence[Entry]) -> tuple[StackEntry, ...]:
    """The rows that are switched on and name a LoRA. Raises UserError where one is gone."""
    gone = [Path(one.lora).stem for one in entries if one.on and one.lora and not Path(one.lora).is_file()]
    if gone:
        raise UserError(f"The file of {gone[0]} is not there any more.", rows.REMEDY)
    return tuple(check(StackEntry, entry.values) for entry in entries if entry.on and entry.lora)
