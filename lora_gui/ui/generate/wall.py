"""The drawings as they are seen: small ones by day and in pages, and the place for a large one; knows no component."""

import json
import time
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from lora_gui.days import day
from lora_gui.studio.library.history import Drawn
from lora_gui.ui.library.cards import address as whole
from lora_gui.ui.widgets import markup
from lora_gui.ui.widgets.markup import Address

A_PAGE = 24  # drawings
LONGEST = 20  # letters of a LoRA's name under a drawing
PATIENCE = 0.4  # seconds for new small copies; beyond, the drawings themselves are shown small
SCRIPT = Path(__file__).with_name("wall.js")
NONE_FIT = "No drawing fits what you look for."
STAGE = """<figure class="shown" hidden><div class="frame"></div><figcaption><p class="words" dir="auto"></p>
<p class="facts"></p></figcaption><div class="acts">
<button type="button" class="chip" data-use="use">Use these settings</button>
<button type="button" class="chip" data-use="apart" title="The same seed again: the base alone, each LoRA, all of them"
hidden></button>
<button type="button" class="chip" data-use="change">Change this drawing</button>
<button type="button" class="chip" data-do="enlarge">Enlarge</button>
<button type="button" class="chip" data-do="star" aria-pressed="false">Star</button>
<button type="button" class="chip" data-do="compare" aria-pressed="false">Compare</button>
<button type="button" class="chip" data-do="copy">Copy</button>
<button type="button" class="chip" data-do="folder">Show in folder</button>
<button type="button" class="chip" data-do="delete">Delete</button><span class="told" role="status"></span>
</div></figure>
<div class="nothing" id="no-drawings"><p><b>Nothing drawn yet</b></p>
<p class="quiet">Write what you want to see and press Draw. Your drawings stay here.</p></div>"""


def page(found: Sequence[Drawn], number: int, small: Address, folder: Path) -> str:
    """One page of drawings by day, with the way to the others."""
    pages = max(1, -(-len(found) // A_PAGE))
    number = min(max(number, 1), pages)
    until = time.monotonic() + PATIENCE

    def address(path: Path) -> str:
        return (small(path) if time.monotonic() < until else "") or whole(path)

    days = []
    for when, those in groupby(found[(number - 1) * A_PAGE : number * A_PAGE], key=lambda one: one.day):
        items = "".join(_item(one, address(folder / one.name), whole(folder / one.name)) for one in those)
        days.append(f'<h3 class="group">{markup.text(day(when))}</h3><div class="drawings">{items}</div>')
    return "".join(days) + (_pager(number, pages, len(found)) if pages > 1 else "")


def deleted(binned: str) -> str:
    """That a drawing is in the bin, and the way back."""
    return (
        '<div class="notice note" role="status">The drawing is in the bin. <button type="button" class="chip" '
        f'data-act="restore" data-name="{markup.text(binned)}">Have it back</button></div>'
    )


def beside(drawings: Iterable[Drawn], gone: str, folder: Path) -> str:
    """What the page is told of drawings that it may not list, and the name of one that is not there any more."""
    told = json.dumps({"there": [_told(one, whole(folder / one.name)) for one in drawings], "gone": gone})
    return f'<i hidden data-beside="{markup.text(told)}"></i>'


def _told(one: Drawn, large: str) -> dict[str, str]:
    """A drawing as wall.js takes it."""
    loras = ", ".join(f"{_short(name)} {strength}" for name, strength in one.loras)
    facts = " · ".join(part for part in (f"seed {one.seed}" if one.seed else "", one.base, loras) if part)
    return {
        "name": one.name, "whole": large, "words": one.prompt or one.name.partition("/")[2], "facts": facts,
        "loras": str(len(one.loras)), "star": "1" if one.star else "",
    }  # fmt: skip


def _item(one: Drawn, small: str, large: str) -> str:
    told = _told(one, large)
    seed, star = f", seed {one.seed}" if one.seed else "", ", starred" if one.star else ""
    label = markup.text(told["words"] + seed + star)
    data = " ".join(f'data-{key}="{markup.text(value)}"' for key, value in told.items())
    return (
        f'<button type="button" class="thumbnail-item{" starred" if one.star else ""}" aria-label="{label}" '
        f'title="{label}" {data}><img src="{small}" alt="{label}" loading="lazy"></button>'
    )


def _short(name: str) -> str:
    """The name of a LoRA, cut where it would hide what stands behind it."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}\u2026"


def _pager(number: int, pages: int, count: int) -> str:
    def turn(to: int, words: str) -> str:
        state = "" if 1 <= to <= pages else " disabled"
        return f'<button type="button" class="chip" data-act="turn" data-name="{to}"{state}>{words}</button>'

    told = f"<span>Page {number} of {pages}, {count:,} drawings</span>"
    return f'<nav class="pager" aria-label="Pages">{turn(number - 1, "Newer")}{told}{turn(number + 1, "Older")}</nav>'
