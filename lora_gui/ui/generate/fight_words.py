"""What is said of LoRAs that may get in each other's way: a small matrix, sentences, and balanced strengths."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lora_gui.errors import UserError
from lora_gui.studio.stacks.fight import UNLIKE, Fight
from lora_gui.studio.stacks.kept import Kept
from lora_gui.ui.draft import DrawDraft, Entry
from lora_gui.ui.widgets import markup

TITLE = "Will they fight?"
BEFORE = "Compared by their weights alone, before anything is drawn; it is a hint, and the drawings decide."
ASKED = "By their weights alone, before anything is drawn: a hint. Nine drawings at several strengths decide."
BALANCED = "At these strengths each changes the base about as much as the others."
ALIKE = "So that each changes the base as much: "
GROUPS = {"text_encoder": "how words are read", "other": "everything alike", "down": "the layout",
          "middle": "what holds it together", "up": "the detail"}  # fmt: skip
Strengths = tuple[tuple[str, float], ...]  # of LoRAs by their paths, in the order of the stack


def used(entries: Sequence[Entry]) -> list[Entry]:
    """The rows that count, each LoRA once."""
    return list({entry.lora: entry for entry in entries if entry.on and entry.lora}.values())


def strengths(entries: Sequence[Entry]) -> Strengths:
    return tuple((entry.lora, entry.strength) for entry in used(entries))


def proposed(entries: Sequence[Entry], found: Fight) -> Strengths:
    """Balanced strengths for the rows that count; one that takes something away goes on doing so."""
    pairs = zip(used(entries), found.balance, strict=True)
    return tuple((entry.lora, -strength if entry.strength < 0 else strength) for entry, strength in pairs)


def with_strengths(draft: DrawDraft, wanted: Strengths) -> DrawDraft:
    """The draft with these strengths in its rows; one that is off stays as it is."""
    new = dict(wanted)
    rows = (one._replace(strength=new[one.lora]) if one.on and one.lora in new else one for one in draft.stack)
    return replace(draft, stack=tuple(rows))


def asks(entries: Sequence[Entry]) -> str:
    """The buttons, before anybody has asked."""
    chips = f'<div class="chips">{_button("fight", TITLE)}{_seen(entries)}</div>'
    return f'<div class="fight">{chips}{markup.quiet(ASKED)}</div>'


def told(entries: Sequence[Entry], found: Fight, before: Strengths) -> str:
    """What was found, and what balances it; `before` are the strengths that a press of Balance replaced, if it did."""
    sentences = "".join(f"<li>{markup.text(pair.sentence)}</li>" for pair in found.pairs)
    sentences += "".join(f"<li>{markup.text(note)}</li>" for note in found.notes)
    return (
        f'<div class="fight"><h3 class="group">{TITLE}</h3>{_matrix(found)}<ul>{sentences}</ul>'
        f'{_balance(entries, found, before)}<div class="chips">{_seen(entries)}</div>{markup.quiet(BEFORE)}</div>'
    )


def kept(found: Kept) -> str:
    """What mixes of smaller ranks would keep, each a button that chooses its rank."""
    ranks = "".join(
        f'<button type="button" class="chip" data-act="rank" data-word="{rank}">Rank {rank} keeps '
        f"{100 * share:.1f} %</button>"
        for rank, share in found.shares.items()
    )
    words = f"An exact mix has rank {found.exact}." + (" A smaller file:" if ranks else "")
    return f'<div class="notice note" role="status"><p>{words}</p><div class="chips">{ranks}</div></div>'


def unknown(problem: UserError) -> str:
    """Why it cannot be told."""
    return f'<div class="fight"><h3 class="group">{TITLE}</h3>{markup.problem(problem)}</div>'


def _matrix(found: Fight) -> str:
    """How alike the updates are, from -1 to 1, how large each is beside the smallest, and where most of it is."""
    letters = [chr(ord("A") + number) for number in range(len(found.names))]
    head = "".join(f'<th scope="col">{letter}</th>' for letter in letters)
    least = min((norm for norm in found.norms if norm > 0), default=1.0)
    rows = []
    for number, name in enumerate(found.names):
        cells = "".join(_cell(value, column == number) for column, value in enumerate(found.matrix[number]))
        size = f"{found.norms[number] / least:.1f} ×"
        rows.append(
            f'<tr><th scope="row" title="{markup.text(name)}"><b>{letters[number]}</b> {markup.text(name)}</th>{cells}'
            f"<td>{size}</td><td>{_mostly(found.groups[number])}</td></tr>"
        )
    region = f'<div class="wide" role="region" aria-label="{TITLE}" tabindex="0">'  # scrolled by keys on a phone
    return (
        f'{region}<table><thead><tr><th scope="col">How alike</th>{head}<th scope="col">Size</th>'
        f'<th scope="col">Mostly in</th></tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _cell(value: float, is_own: bool) -> str:
    if is_own:
        return "<td>–</td>"
    words = f"{value:+.2f}" if abs(value) >= 0.005 else "0.00"
    return f'<td style="--much: {min(abs(value), 1) * 100:.0f}%">{words}</td>'


def _mostly(shares: dict[str, float]) -> str:
    if not shares:
        return "nothing"
    group = max(shares, key=lambda one: shares[one])
    return f"{GROUPS.get(group, group)}, {shares[group] * 100:.0f} %" if len(shares) > 1 else GROUPS.get(group, group)


def _balance(entries: Sequence[Entry], found: Fight, before: Strengths) -> str:
    """From what to what; the same place takes it back. Nothing where sizes cannot be compared."""
    if not found.balance:
        return ""
    now = strengths(entries)
    if before:
        return _change(before, now, "undo", "Undo", "Balanced: ")
    wanted = proposed(entries, found)
    is_there = all(abs(one - other) < 0.005 for (_, one), (_, other) in zip(now, wanted, strict=True))
    if is_there or _is_even(now, found):
        return f'<div class="change"><span>{BALANCED}</span></div>'
    return _change(now, wanted, "balance", "Balance", ALIKE)


def _is_even(now: Strengths, found: Fight) -> bool:
    """Whether the LoRAs change the base about as much as one another already."""
    sizes = [abs(strength) * norm for (_, strength), norm in zip(now, found.norms, strict=True) if norm > 0]
    return max(sizes, default=0.0) < UNLIKE * min(sizes, default=0.0)


def _change(old: Strengths, new: Strengths, act: str, title: str, begins: str) -> str:
    steps = ", ".join(
        f"{Path(lora).stem} {one:g} → {other:g}" for (lora, one), (_, other) in zip(old, new, strict=True)
    )
    return f'<div class="change"><span>{markup.text(begins + steps)}</span>{_button(act, title)}</div>'


def _seen(entries: Sequence[Entry]) -> str:
    """The button that draws two of them at several strengths."""
    two = "the first two" if len(entries) > 2 else "both"
    return _button("strengths", f"See {two} at several strengths")


def _button(act: str, title: str) -> str:
    return f'<button type="button" class="chip" data-act="{act}">{title}</button>'
