"""One LoRA as it is seen: what it is, what was drawn with it, its versions; knows no component."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from lora_gui import days
from lora_gui.studio.library.history import prompt_of
from lora_gui.studio.library.shelf import Card
from lora_gui.studio.library.versions import Version
from lora_gui.ui.library.cards import star
from lora_gui.ui.runs.lists import size
from lora_gui.ui.widgets import markup

LONGEST = 120  # characters of a prompt that are read out


def head(card: Card, cover: str) -> str:
    """Its cover, its name, and what it is in a line or two."""
    info = card.info
    assert info
    ranks = f"rank {info.rank}, alpha {info.alpha:g}"
    facts = [*filter(None, (card.family_title, info.base_title, ranks))]
    facts += [f"{info.steps:,} steps"] if info.steps else []
    came = f"{'made here' if card.run else 'brought'} on {days.day(card.came)}" if card.came else ""
    picture = markup.image(cover, f"Cover of {card.name}", lazy=False) if cover else (
        f'<i class="initial">{markup.text(card.name[:1].upper())}</i>'
    )  # fmt: skip
    title = f"{info.title}, " if info.title and info.title != card.name else ""
    return (
        f'<div class="lora-head" data-name="{markup.text(card.path.name)}"><span class="cover">{picture}</span><div>'
        f'<h2 class="run-name" tabindex="-1">{markup.text(card.name)}</h2>{star(card)}'
        f"{markup.quiet(title + ', '.join(facts))}{markup.quiet(', '.join(filter(None, (came, size(info.size)))))}"
        f"{markup.sentences('Worth knowing', info.odd)}</div></div>"
    )


def drawings(card: Card, address: Callable[[Path], str], folder: Path) -> str:
    """The newest drawings with it."""
    if not card.drawn:
        return ""
    shown = "".join(f"<span>{markup.image(address(folder / one), _alt(folder / one))}</span>" for one in card.drawn)
    return (
        f'<h3 class="group">{markup.counted(card.times, "drawing")} with it</h3><div class="strip" role="group" '
        f'tabindex="0" aria-label="Drawings with it">{shown}</div>'
    )


def _alt(drawing: Path) -> str:
    prompt = prompt_of(drawing)
    return f"{prompt[:LONGEST]}\u2026" if len(prompt) > LONGEST else prompt or "A drawing"


def versions(found: Sequence[Version], card: Card) -> str:
    """What its run kept on the way: each to be opened, or put into use first."""
    if not found:
        return ""
    rows = []
    for one in found:
        is_this = one.path == card.path
        words = f"Step {one.step:,}" + (", what its run ended with" if one.is_last else "")
        act, button = ("open", "Open") if one.path else ("use", "Put into use")
        name = markup.text(one.path.name) if one.path else one.step
        chip = f'<button type="button" class="chip" data-act="{act}" data-name="{name}">{button}</button>'
        state = "<span>this one</span>" if is_this else f'<span class="buttons">{chip}</span>'
        called = markup.text(one.path.stem) if one.path else "kept by the run"
        rows.append(f"<li><b>{words}</b><span>{called}</span>{state}</li>")
    return f'<h3 class="group">Versions</h3><ol class="rows waiting">{"".join(rows)}</ol>'


def asked(card: Card) -> str:
    """What deleting comes to, before it is done."""
    assert card.info
    return markup.quiet(
        f"{card.name} goes to the bin of your studio with its cover and notes, and can be put back. "
        f"Emptying the bin frees {size(card.info.size)}."
    )


def download(address: str, name: str) -> str:
    """A link that the page follows by itself."""
    return f'<a href="{address}" download="{markup.text(name)}">{markup.text(name)}</a>'
