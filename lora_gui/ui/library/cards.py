"""The library as it is seen: cards, the pages they come in, and the bin; knows no component."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

from lora_gui.studio.library.bin import KINDS, OTHER, Binned
from lora_gui.studio.library.shelf import Card
from lora_gui.ui.runs.lists import size
from lora_gui.ui.widgets import markup

A_PAGE = 48  # cards
EMPTY = """<div class="nothing"><p><b>No LoRAs yet</b></p>
<p class="quiet">What you train comes here by itself; bring others above, or put them into {folder}.</p></div>"""
NONE_FIT = "Nothing fits what you look for."


def page(found: Sequence[Card], number: int, cover: Callable[[Card], str], left: int) -> str:
    """One page of cards, and how many there are."""
    number = min(max(number, 1), pages(found))
    shown = found[(number - 1) * A_PAGE : number * A_PAGE]
    more = f", {markup.counted(left, 'file')} still to be read" if left else ""
    counted = markup.quiet(f"{markup.counted(len(found), 'LoRA')}{more}")
    cards = "".join(card(one, cover) for one in shown)
    return f'{counted}<ul class="cards">{cards}</ul>{_pager(number, pages(found))}'


def pages(found: Sequence[Card]) -> int:
    """How many pages there are."""
    return max(1, -(-len(found) // A_PAGE))


def card(one: Card, cover: Callable[[Card], str]) -> str:
    """A button that opens a LoRA, and its star; of a broken one why, and a way to the bin."""
    if not one.info:
        return _broken(one)
    address, name = cover(one), markup.text(one.name)
    initial = f'<i class="initial" aria-hidden="true">{markup.text(one.name[:1].upper())}</i>'
    picture = markup.image(address, "") if address else initial
    best = f"<span>best at {one.info.strength:g}</span>" if one.info.strength else ""
    said = markup.text(one.info.trigger)
    trigger = f'<code title="{said}">{said}</code>' if said else "no trigger word"
    tags = "".join(f"<i>{markup.text(tag)}</i>" for tag in one.notes.tags)
    origin = "made here" if one.run else "brought"
    return (
        f'<li data-name="{markup.text(one.path.name)}"><button type="button" class="card" data-act="open">'
        f'<span class="cover">{picture}</span><b title="{name}">{name}</b><span>{trigger}</span>'
        f'<span>{markup.text(one.family_title)}</span>{best}<span class="tags"><em>{origin}</em>{tags}</span></button>'
        f"{star(one)}</li>"
    )


def star(one: Card) -> str:
    """A button that gives or takes a star."""
    pressed = "true" if one.notes.star else "false"
    label = f"{'Take the star from' if one.notes.star else 'Give a star to'} {one.name}"
    sign = "\u2605" if one.notes.star else "\u2606"
    return (
        f'<button type="button" class="star" data-act="star" aria-pressed="{pressed}" '
        f'aria-label="{markup.text(label)}">{sign}</button>'
    )


def bin(binned: Sequence[Binned]) -> str:
    """What is in the bin, each to be had back, and what emptying it frees; nothing where it is empty."""
    if not binned:
        return ""
    rows, freed = "".join(map(_binned, binned)), size(sum(one.size for one in binned))
    buttons = _button("empty", "Empty it") + _button("keep", "Keep them")
    asking = f'<span class="asking">Frees {freed}, for good. {buttons}</span>'
    last = f'<li data-name="-"><span>{_button("ask", f"Empty the bin, {freed}")}</span>{asking}</li>'
    kinds = [one.kind for one in binned]
    counts = [markup.counted(kinds.count(kind), kind) for kind in (*KINDS, OTHER) if kind in kinds]
    title = f"Bin: {', '.join([*counts, freed])}"
    return f'<details class="bin"><summary>{title}</summary><ol class="rows waiting">{rows}{last}</ol></details>'


def deleted(one: Binned) -> str:
    """That a LoRA is in the bin now, and the way back."""
    said = f"{one.name} is in the bin. Emptying the bin frees its {size(one.size)}."
    folder = markup.text(one.folder.name)
    undo = f'<button type="button" class="chip" data-act="restore" data-name="{folder}">Undo</button>'
    return f'<div class="notice note" role="status">{markup.text(said)} {undo}</div>'


def _binned(one: Binned) -> str:
    back = _button("restore", "Put back", f"Put the {one.kind} {one.name} back") if one.kind in KINDS else ""
    return (
        f'<li data-name="{markup.text(one.folder.name)}"><b>{markup.text(one.name)}</b>'
        f'<span>{one.kind}, {size(one.size)}</span><span class="buttons">{back}</span></li>'
    )


def _broken(one: Card) -> str:
    asking = f'<span class="asking">{_button("delete", "To the bin")}{_button("keep", "Keep it")}</span>'
    ask = f'<span class="buttons">{_button("ask", "Delete", f"Delete {one.name}")}</span>'
    return (
        f'<li class="broken" data-name="{markup.text(one.path.name)}"><b>{markup.text(one.name)}</b>'
        f"<span>{markup.text(one.what)} {markup.text(one.remedy)}</span>{ask}{asking}</li>"
    )


def _pager(number: int, of: int) -> str:
    if of < 2:
        return ""
    back = _turn(number - 1, "Earlier", number > 1)
    on = _turn(number + 1, "More", number < of)
    return f'<p class="pager">{back}<span>Page {number} of {of}</span>{on}</p>'


def _turn(number: int, words: str, there: bool) -> str:
    state = "" if there else " disabled"
    return f'<button type="button" class="chip" data-act="turn" data-name="{number}"{state}>{words}</button>'


def _button(act: str, words: str, aloud: str = "") -> str:
    label = f' aria-label="{markup.text(aloud)}"' if aloud else ""
    return f'<button type="button" class="chip" data-act="{act}"{label}>{words}</button>'


def address(path: Path) -> str:
    """Where the browser fetches a file that it may fetch."""
    return f"/gradio_api/file={quote(path.resolve().as_posix())}"


def place(folder: Path) -> str:
    """Where nothing is yet, and what to do; or why the folder cannot be read, which may be a link to another drive."""
    try:
        os.scandir(folder).close()
    except OSError as error:
        if os.path.lexists(folder):
            what = f"{folder}, the folder of your LoRAs, cannot be read ({error.strerror or error})."
            return markup.notice(what, "Connect the drive that it lies on, or make the folder your own again.")
    return EMPTY.format(folder=f"<code>{markup.text(str(folder))}</code>")
