"""One drawing or four, square, upright, lying, or any ratio: one press each, in sizes the base likes; no component."""

import random
from dataclasses import replace
from typing import Any

from lora_gui.protocol.jobs import Base
from lora_gui.settings import SEEDS
from lora_gui.studio.things import ratios
from lora_gui.ui.draft import DrawDraft

COUNTS = (1, 4)
SHAPES = {"square": "1:1", "portrait": "2:3", "landscape": "3:2"}
ACTS = """
element.addEventListener('click', event => {
  const button = event.target.closest('button[data-quick]');
  if (!button) return;
  for (const one of element.querySelectorAll(`[data-quick=${button.dataset.quick}]`))
    one.setAttribute('aria-pressed', one === button);
  trigger('select', { act: button.dataset.quick, word: button.dataset.word });
});
"""


def told(draft: DrawDraft, base: Base, size: tuple[object, object]) -> str:
    """The buttons, those pressed that stand for what is set; `size` is width and height as they are shown."""
    many = "".join(_button("count", str(count), f"{count}", draft.count == count) for count in COUNTS)
    known = ratios.sizes(base)
    shapes = "".join(_button("shape", name, name.capitalize(), size == known[one]) for name, one in SHAPES.items())
    return (
        f'<div class="quick"><span role="group" aria-label="How many">{many}</span>'
        f'<span role="group" aria-label="Shape">{shapes}</span></div>'
    )


def ratios_told(base: Base, size: tuple[object, object]) -> str:
    """A button for each ratio of the sides, width to height, that has a size of its own with the base."""
    own: dict[tuple[int, int], str] = {}
    for ratio, sides in ratios.sizes(base).items():
        own.setdefault(sides, ratio)
    buttons = "".join(_button("ratio", ratio, ratio, size == sides) for sides, ratio in own.items())
    return f'<div class="quick many"><span role="group" aria-label="Width to height">{buttons}</span></div>'


def pressed(draft: DrawDraft, base: Base, act: str, word: str) -> DrawDraft:
    """The draft after one of the buttons."""
    if act == "count":
        return replace(draft, count=int(word))
    if act == "size":
        width, height = map(int, word.split("x"))
    else:
        width, height = ratios.size(base, SHAPES.get(word, word))
    return replace(draft, hand=draft.hand | {"width": width, "height": height})


def instead(values: dict[str, Any]) -> str:
    """A button for the size that is proposed instead of one that had no room; empty where none is."""
    if not values.keys() >= {"width", "height"}:
        return ""
    width, height = int(values["width"]), int(values["height"])
    return (
        f'<p><button type="button" class="chip" data-quick="size" data-word="{width}x{height}">'
        f"Use {width} x {height}</button></p>"
    )


def seed(draft: DrawDraft, is_next: bool) -> int:
    """The seed to draw with: a new one, the one that is set, or the one after those of the last time."""
    if is_next and draft.seed is not None:
        return (draft.seed + (draft.count if isinstance(draft.count, int) else 1)) % SEEDS
    return random.randrange(2**32) if draft.random or draft.seed is None else draft.seed


def _button(act: str, word: str, title: str, on: bool) -> str:
    return (
        f'<button type="button" data-quick="{act}" data-word="{word}" aria-pressed="{str(on).lower()}">{title}</button>'
    )
