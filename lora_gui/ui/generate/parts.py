"""Details of a row of the stack: its strength in the text encoder and in groups of blocks; knows no component."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from lora_gui import typed
from lora_gui.errors import UserError, shown
from lora_gui.settings import StackEntry
from lora_gui.studio.things import loras
from lora_gui.ui.draft import DrawDraft, Entry
from lora_gui.ui.widgets import markup

PARTS = Entry._fields[3:]  # of the strengths, all but the row's own
HELP = (
    "The slider is the strength in the model that draws; the text encoder follows it, unless it has a strength of its "
    "own here. Down lays out the whole, middle holds it together, up paints the detail: each a share of the slider."
)
ONE = "This LoRA changes one kind of layers alone, so the slider says all there is."
DORA = (
    "A DoRA: between 0 and 1 it goes in a straight line from the base to what was learnt, exactly, as in ComfyUI and "
    "Forge; diffusers and programs built on it draw it otherwise there."
)
# Of the script of the stack. An answer brings the rows anew, so what is open, in focus or half typed is kept here.
ACTS = """
const stackRows = document.querySelector('#stack'), openParts = new Set(), partInput = 'input[data-part]';
let half = null;
function settle() {
  for (const one of stackRows.querySelectorAll('details.parts')) {
    if (one.open !== openParts.has(one.dataset.lora)) one.open = !one.open;
  }
  for (const input of stackRows.querySelectorAll(partInput)) {
    if (input.id === half?.id) continue;
    if (input.value !== input.getAttribute('value')) input.value = input.getAttribute('value');
  }
  const lost = half && document.activeElement === document.body && document.getElementById(half.id);
  if (!lost) return;
  lost.value = half.value;
  lost.focus();
}
stackRows.addEventListener('click', ({ target }) => {
  const one = target.closest('details.parts > summary')?.parentElement;
  if (one && !openParts.delete(one.dataset.lora)) openParts.add(one.dataset.lora);
});
stackRows.addEventListener('input', ({ target }) => {
  if (target.matches(partInput)) half = { id: target.id, value: target.value };
});
stackRows.addEventListener('change', ({ target: input }) => {
  if (!input.matches(partInput)) return;
  half = null;
  trigger('select', { act: 'part', row: Number(input.dataset.row), word: `${input.dataset.part}=${input.value}` });
});
stackRows.addEventListener('focusout', () => { if (half) setTimeout(() => { half = null; settle(); }, 2000); });
const watched = { childList: true, subtree: true, attributes: true, attributeFilter: ['value', 'open', 'data-lora'] };
new MutationObserver(settle).observe(stackRows, watched);
"""


def fields(number: int, entry: Entry) -> str:
    """The folded details of a row; of what its LoRA does not change, nothing is asked. Empty where it is not usable."""
    try:
        heeded, is_dora = loras.changes(Path(entry.lora))
    except UserError:
        return ""
    asked = [name for name in PARTS if name in heeded] if len(heeded) > 1 else []
    told = "".join(f", {_said(name, entry)}" for name in PARTS if getattr(entry, name) != Entry._field_defaults[name])
    cells = "".join(_field(number, name, entry) for name in asked)
    words = [HELP if asked else ONE, *([DORA] if is_dora else [])]
    return (
        f'<details class="parts" data-lora="{markup.text(Path(entry.lora).stem)}"><summary>Details'
        f'<span>{markup.text(told)}</span></summary><div class="cells">{cells}</div>'
        f"{''.join(map(markup.quiet, words))}</details>"
    )


def changed(draft: DrawDraft, number: int, said: str) -> DrawDraft:
    """The draft with one strength of a row, as `up=0.5`; emptied, it is the usual one.

    Raises UserError where there is no such row or part, or no number.
    """
    name, _, text = said.partition("=")
    if name not in PARTS or not 0 <= number < len(draft.stack):
        raise UserError("This row has changed meanwhile.", "Try it again.")
    value: Any = typed.number(text) if text.strip() else Entry._field_defaults[name]
    if isinstance(value, str) or (value is not None and not abs(value) < math.inf):
        raise UserError(f"{shown(text)} is not a number.", "Write it as 0.8.")
    rows = list(draft.stack)
    part: dict[str, Any] = {name: value}
    rows[number] = rows[number]._replace(**part)
    return replace(draft, stack=tuple(rows))


def _field(number: int, name: str, entry: Entry) -> str:
    info, value = StackEntry.model_fields[name], getattr(entry, name)
    shown_value = "" if value is None else f"{value:g}"
    usual = f"{entry.strength:g}" if name == "text_strength" else "1"
    return (
        f'<label title="{markup.text(info.description or "")}"><span>{markup.text(info.title or name)}</span>'
        f'<input type="text" inputmode="decimal" id="part-{number}-{name}" data-row="{number}" data-part="{name}" '
        f'value="{shown_value}" placeholder="{usual}" autocomplete="off"></label>'
    )


def _said(name: str, entry: Entry) -> str:
    title = str(StackEntry.model_fields[name].title).lower()
    return f"{title} {getattr(entry, name):g}" if name == "text_strength" else f"{title} × {getattr(entry, name):g}"
