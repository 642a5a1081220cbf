"""The known bases as cards, and the user's own as rows, in HTML; knows no component."""

from collections.abc import Sequence
from pathlib import Path

from lora_gui.errors import UserError
from lora_gui.studio.finding import found as remembered
from lora_gui.studio.finding import overview
from lora_gui.studio.finding.overview import Card, Everything, Held
from lora_gui.studio.tasks.download_words import progress
from lora_gui.ui.bases import pages
from lora_gui.ui.runs.lists import size
from lora_gui.ui.widgets import markup

# of each state its sign, so that no colour tells it alone, and its words
_STATES = {
    overview.SHIPPED: ("\u2713", "Comes with the app"),
    overview.HERE: ("\u2713", "Here"),
    overview.ELSEWHERE: ("\u2713", "Here, {whose}"),
    overview.FETCHING: ("\u2193", "Being downloaded"),
    overview.PERMISSION: ("\u25cb", "Needs permission"),
    overview.AWAY: ("\u2193", "To download"),
}
_STOPPED = "Not whole yet"  # a download that does not go on
_DRAWS = {"full": "Draws in full.", "fewer bits": "Draws in fewer bits."}
MOST, MOST_GONE = 8, 3  # of the user's own bases that are in sight, and of those that are gone
NARROW = "\u00a0"  # a space that keeps a number and its unit on one line
_TWO_CLICKS = "Open its page, sign in and accept its licence; then sign in below with a token of yours."


def known(found: Everything, gib: float, counting: bool) -> str:
    """Every known base, by family; `gib` is the card's memory, `counting` whether verdicts are still to come."""
    parts = []
    for title, cards in overview.families_of(found.cards).items():
        inner = "".join(_card(card, gib, counting) for card in cards)
        parts.append(f'<h2 class="ask">{markup.text(title)}</h2><ul class="bases">{inner}</ul>')
    return "".join(parts)


def own(found: Everything) -> str:
    """The user's own bases, what cannot be used and why, and what is gone; many fold, so that others stay near."""
    rows = [*map(_own, found.own), *(_unusable(path, why) for path, why in found.unusable)]
    listed = _folded(rows, MOST) + _folded([_gone(path) for path in found.gone], MOST_GONE)
    silent = markup.sentences("On a drive that does not answer", found.silent, folded=True)
    return f'<h2 class="ask">Your own</h2>{listed}{silent}' if listed or silent else ""


def _folded(rows: Sequence[str], most: int) -> str:
    """A list, of which so many rows are in sight."""
    if not rows:
        return ""
    more, hidden = len(rows) - most, "".join(rows[most:])
    folded = f'<details class="more"><summary>and {more} more</summary><ol class="rows own">{hidden}</ol></details>'
    return f'<ol class="rows own">{"".join(rows[:most])}</ol>{folded if hidden else ""}'


def result(found: Everything) -> str:
    """What the last look came to, in a sentence, with what was passed over."""
    held = [one for one in (*found.own, *(card.held for card in found.cards)) if one]
    named = [one.program for one in held if one.program not in ("", remembered.BY_HAND)]
    count, programs = len(named), sorted(set(named))
    where = "it lies" if count == 1 else "they lie"
    what = "No base of another program was found."
    if count:
        counted = markup.counted(count, "base")
        what = f"{counted} of other programs can be used where {where}: with {', '.join(programs)}."
    others = [f"{number} x {kind}" for kind, number in found.others.items()]
    also = f"Also seen, and left alone: {', '.join(others)}." if others else ""
    said = markup.notice(what, also, "good" if count else "note")
    return said + markup.sentences("What was not looked at", found.left, folded=True)


def _card(card: Card, gib: float, counting: bool) -> str:
    known = card.known
    sign, words = _STATES[card.state]
    words = words.format(whose=_whose(card.held.program if card.held else ""))
    words = _STOPPED if card.fetch and card.state == overview.FETCHING and not card.fetch.goes_on else words
    state = f'<span class="state {card.state}"><i aria-hidden="true">{sign}</i> {markup.text(words)}</span>'
    unfit = bool(card.verdict and not card.verdict.trains and not card.verdict.draws)
    parts = [
        f'<div class="base-head"><b>{markup.text(known.title)}</b>{state}</div>',
        f"<p>{markup.text(known.good_at)}</p>",
        f'<p class="quiet">{_licence(card)}</p>',
        _memory(card, gib, counting),
        markup.quiet(f"Made of it and here: {', '.join(card.alike)}.") if card.alike else "",
        _fetching(card),
        markup.quiet(_TWO_CLICKS) if card.state == overview.PERMISSION else "",
        f'<div class="buttons">{_buttons(card)}</div>',
        _asking(card.held) if card.held else "",
    ]
    name = card.held.base.key if card.held else known.key
    kind = " unfit" if unfit else ""
    return f'<li class="base{kind}" data-name="{markup.text(name)}">{"".join(parts)}</li>'


def _licence(card: Card) -> str:
    """Its licence in a sentence, its name as a link, and the size."""
    page = pages.of(card.known.repo)
    name = markup.text(card.known.licence)
    link = f'<a href="{markup.text(page)}" target="_blank" rel="noopener noreferrer">{name}</a>' if page else name
    taken = size(card.held.size) if card.held and card.held.size else f"{card.known.size_gb:g} GB"
    return f"{markup.text(card.licence)} {link}{NARROW}\u00b7 {taken.replace(' ', NARROW)}"


def _memory(card: Card, gib: float, counting: bool) -> str:
    """Whether it trains and draws within the card's memory; without a card nothing is said here."""
    verdict = card.verdict
    if not gib or card.state == overview.SHIPPED:
        return ""
    if verdict is None:
        return markup.quiet("What memory it takes is being counted.") if counting else ""
    draws = _DRAWS.get(verdict.draws, "Too large to draw with.")
    if not card.known.trains:
        return markup.quiet(f"Draws only. {draws}")
    if not verdict.trains:
        return markup.quiet(f"Too large to train here. {draws}")
    eased = " with what makes it fit" if verdict.eased else ""
    bar = markup.bar(verdict.peak / gib, f"Trains in {verdict.peak:.1f} of {gib:.0f} GB{eased}", draws)
    return f'<div class="fits">{bar}</div>'


def _fetching(card: Card) -> str:
    fetch = card.fetch
    if card.state != overview.FETCHING or fetch is None:
        return ""
    share = fetch.done / fetch.of if fetch.of else -1.0
    bar = markup.bar(share, progress(fetch) or "Starting", "") if fetch.goes_on or fetch.of else ""
    said = markup.notice(fetch.what, fetch.remedy) if fetch.what else ""
    return bar + said + "".join(markup.quiet(note) for note in fetch.notes)


def _buttons(card: Card) -> str:
    title, made = card.known.title, []
    if card.held:
        made += [_button("train", "Train with it", f"Train with it: {title}")] if card.known.trains else []
        made += [_button("draw", "Draw with it", f"Draw with it: {title}")]
        made += [_button("ask", "Remove", f"Remove {title}")] if card.held.removal else []
    elif card.fetch and card.fetch.goes_on:
        made += [_button("pause", "Pause", f"Pause {title}"), _button("cancel", "Cancel", f"Cancel {title}")]
    elif card.state == overview.FETCHING:
        made += [_button("download", "Go on", f"Go on with {title}"), _button("cancel", "Cancel", f"Cancel {title}")]
    elif card.known.repo:
        made += [_button("download", "Download", f"Download {title}, {card.known.size_gb:g} GB")]
    return "".join(made)


def _own(held: Held) -> str:
    base = held.base
    whose = f", {_whose(held.program)}: {base.path}" if held.program else f", {Path(base.path).name}"
    asking = _button("ask", "Remove", f"Remove {base.title}") if held.removal else ""
    buttons = [_button("train", "Train with it", f"Train with it: {base.title}"),
               _button("draw", "Draw with it", f"Draw with it: {base.title}"), asking]  # fmt: skip
    return (
        f'<li data-name="{markup.text(base.key)}"><span><b>{markup.text(base.title)}</b><br>'
        f'<span class="quiet">{markup.text(held.family + whose)}</span></span><span>{size(held.size)}</span>'
        f'<span class="buttons">{"".join(buttons)}</span>{_asking(held)}</li>'
    )


def _whose(program: str) -> str:
    """What a base lies with, unless its user named the place."""
    return program if program == remembered.BY_HAND else f"with {program or 'another program'}"


def _gone(path: str) -> str:
    """A base that was found and is nowhere any more."""
    name, forget = markup.text(Path(path).name), _button("forget", "Forget it", f"Forget it: {Path(path).name}")
    return (
        f'<li class="unfit" data-name="{markup.text(path)}"><span><b>{name}</b><br>'
        f'<span class="quiet">Not there any more: {markup.text(path)}</span></span>'
        f'<span></span><span class="buttons">{forget}</span></li>'
    )


def _unusable(path: str, why: UserError) -> str:
    said = f"{why.what} {why.remedy}"
    return (
        f'<li class="unfit"><span><b>{markup.text(Path(path).name)}</b></span>'
        f"<span>Not usable</span><span>{markup.text(said)}</span></li>"
    )


def _asking(held: Held) -> str:
    if not held.removal:
        return ""
    return (
        f'<span class="asking">{markup.text(held.removal)} {_button("remove", "Remove it")}'
        f"{_button('keep', 'Keep it')}</span>"
    )


def _button(act: str, words: str, aloud: str = "") -> str:
    label = f' aria-label="{markup.text(aloud)}"' if aloud else ""
    return f'<button type="button" class="chip" data-act="{act}"{label}>{words}</button>'


def lines(found: Sequence[str]) -> str:
    """What this computer can do."""
    return f'<ul class="computer">{"".join(f"<li>{markup.text(one)}</li>" for one in found)}</ul>'
