"""What the rows of the stack say: covers, families, trigger words, what is amiss, and named stacks; no component."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from lora_gui import files
from lora_gui.studio.things import bases, loras
from lora_gui.ui.draft import Entry
from lora_gui.ui.widgets import markup

FEW, STRONG = 3, 1.0  # from there on, LoRAs in the field's practice get in one another's way
ADVICE = "One or two at a time, three at most; where one shows too much, go down from 1 to 0.7."
TOO_MANY = "More than three at once mostly blur one another; switch one off, or make all of them weaker."
TOO_STRONG = "Above 1 a LoRA often burns colours and shapes in; 0.7 to 1 is what most are made for."
ALONE = "None in use: this draws with the base alone."
REMEDY = "Put a whole one in its place, switch it off or remove it."
# Of what is pressed in a row or among the named stacks. The row is drawn anew, so the focus is brought back.
ACTS = """
const press = (detail, pressed) => {
  trigger('select', detail);
  const again = pressed?.matches('.link') ? '#prompt textarea' : detail.act === 'up' || detail.act === 'down'
    ? `#stack-${detail.row + (detail.act === 'up' ? -1 : 1)} [data-act=${detail.act}]`
    : detail.act === 'word' ? `#stack-${detail.row} [data-act=word]` : '#stacks summary';
  let tries = 40;
  const back = () => {
    if (document.activeElement === document.body) document.querySelector(again)?.focus();
    else if (!tries || (document.activeElement !== pressed && document.activeElement?.matches(again))) return;
    if (tries--) setTimeout(back, 50);
  };
  setTimeout(back, 100);
};
document.addEventListener('click', event => {
  const button = event.target.closest('#stack button[data-act]');
  if (!button) return;
  const { act, row, word } = button.dataset;
  const typed = act === 'save' && button.parentElement.querySelector('input').value;
  press({ act, row: Number(row ?? -1), word: typed || word || '' }, button);
});
let savedOpen = false;  // an answer brings the saved stacks anew, and folded
document.addEventListener('toggle', ({ target }) => {
  if (target.matches('.saved-stacks')) savedOpen = target.open;
}, true);
new MutationObserver(() => {
  const saved = document.querySelector('.saved-stacks');
  if (saved && saved.open !== savedOpen) saved.open = savedOpen;
}).observe(document.querySelector('#stack'), { childList: true, subtree: true });
document.addEventListener('keydown', event => {
  if (event.key !== 'Enter' || !event.target.matches('#stacks input')) return;
  event.preventDefault();
  press({ act: 'save', row: -1, word: event.target.value });
});
"""


def words(trigger: str) -> list[str]:
    """The trigger words of a LoRA, each once."""
    return list(dict.fromkeys(word for one in trigger.split(",") if (word := one.strip())))


def says(prompt: str, word: str) -> bool:
    """Whether the word stands in the prompt, as a whole."""
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", prompt, re.IGNORECASE) is not None


def toggled(prompt: str, word: str) -> str:
    """The prompt with the word at its beginning; without it where it was there."""
    if not says(prompt, word):
        return f"{word} {prompt}".strip() + ("" if prompt.strip() else " ")
    bare = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)[ \t]*,?[ \t]*", "", prompt, flags=re.IGNORECASE)
    return re.sub(r"[ \t]+(?=,)|[ \t,]+$", "", bare)


def advice(entries: Sequence[Entry]) -> str:
    """One sentence on how many and how strong; it stands there always, so that nothing moves when it changes."""
    used = [entry for entry in entries if entry.on and entry.lora]
    if not entries:
        return markup.quiet(ALONE)
    if len(used) > FEW:
        return f'<p class="quiet much">{TOO_MANY}</p>'
    if any(abs(entry.strength) > STRONG for entry in used):
        return f'<p class="quiet much">{TOO_STRONG}</p>'
    return markup.quiet(ADVICE)


def about(number: int, entries: Sequence[Entry], prompt: str, family: str, cover: str) -> str:
    """The cover of a row's LoRA and, under its slider, its family, its words, what is amiss, and the way up and down.

    `family` is that of the base, `cover` an address or nothing.
    """
    entry = entries[number]
    try:
        lora = loras.describe(Path(entry.lora))
    except files.STRANGE as error:
        return _missing(number, entries, error)
    picture = markup.image(cover, "") if cover else f"<i>{markup.text(lora.name[:1].upper())}</i>"
    title = markup.text(bases.family_title(lora.family))
    unfit = lora.family != family
    why = f'<span class="why">Not drawn: the base is {markup.text(bases.family_title(family))}.</span>' if unfit else ""
    known = words(lora.trigger)
    lacks = "" if unfit or not entry.on else _lacks(number, prompt, known)
    chips = "".join(_chip(number, word, says(prompt, word)) for word in known[bool(lacks) :])
    ways = _ways(number, entries)
    return (
        f'<span class="small{" unfit" if unfit else ""}">{picture}</span>'
        f'<div class="line"><span class="badge">{title}</span>{why}{lacks}{chips}</div>{ways}'
    )


def _missing(number: int, entries: Sequence[Entry], error: Exception) -> str:
    """A row whose LoRA is gone or damaged: what is the matter, and that nothing of the row is lost."""
    is_there = Path(entries[number].lora).is_file()
    what = str(getattr(error, "what", "")) if is_there else "Its file is not there any more."
    words = markup.text(f"{what or 'It cannot be read.'} {REMEDY}")
    letter = f"<i>{markup.text(Path(entries[number].lora).stem[:1].upper())}</i>"
    line = f'<div class="line"><span class="why">{words}</span></div>'
    return f'<span class="small unfit">{letter}</span>{line}{_ways(number, entries)}'


def named(names: Iterable[str]) -> str:
    """The stacks that were saved, each to be called again or removed, and a field to save this one under a name."""
    saved = "".join(
        f'<span class="saved"><button type="button" class="chip" data-act="call" data-word="{markup.text(name)}">'
        f'{markup.text(name)}</button><button type="button" class="away" data-act="forget" '
        f'data-word="{markup.text(name)}" aria-label="Forget the stack {markup.text(name)}"></button></span>'
        for name in names
    )
    return (
        '<details class="saved-stacks"><summary>Saved stacks</summary><div class="chips">'
        f'{saved}<span class="saving"><input type="text" maxlength="60" placeholder="Name of this stack" '
        'aria-label="Name of this stack"><button type="button" class="chip" data-act="save">Save</button></span>'
        "</div></details>"
    )


def _chip(number: int, word: str, there: bool) -> str:
    what = "Take out of the prompt" if there else "Put into the prompt"
    return (
        f'<button type="button" class="chip" data-act="word" data-row="{number}" data-word="{markup.text(word)}" '
        f'aria-pressed="{str(there).lower()}" title="{what}">{markup.text(word)}</button>'
    )


def _lacks(number: int, prompt: str, known: list[str]) -> str:
    """That none of the LoRA's words stands in the prompt, with a button for the first."""
    if not known or any(says(prompt, word) for word in known):
        return ""
    first = markup.text(known[0])
    return (
        f'<span class="lacks">Your prompt lacks <em>{first}</em> <button type="button" class="link" data-act="word" '
        f'data-row="{number}" data-word="{first}" aria-label="Add {first} to the prompt">add</button></span>'
    )


def _ways(number: int, entries: Sequence[Entry]) -> str:
    name, last = Path(entries[number].lora).stem, len(entries) - 1
    ways = _way("up", number, name, number > 0) + _way("down", number, name, number < last)
    return f'<span class="ways">{ways}</span>'


def _way(act: str, number: int, name: str, can: bool) -> str:
    label = f"Move {markup.text(name)} {act}"
    return (
        f'<button type="button" class="way {act}" data-act="{act}" data-row="{number}" aria-label="{label}"'
        f'{"" if can else " disabled"}></button>'
    )
