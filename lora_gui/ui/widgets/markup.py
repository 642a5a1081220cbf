"""Small pieces of HTML that the tabs are made of; every text is escaped, because many come from files of strangers."""

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from lora_gui.errors import UserError, legible
from lora_gui.protocol.events import Sample

Address = Callable[[Path], str]  # where the browser finds a picture


def text(words: str) -> str:
    """Escaped; also the signs with which gradio's HTML component would begin a template, and half letters."""
    whole = legible(words)
    return escape(whole).replace("{", "&#123;").replace("}", "&#125;").replace("$", "&#36;").replace("`", "&#96;")


def notice(what: str, remedy: str = "", kind: str = "problem") -> str:
    """A quiet message: `problem` or `note`; empty for no words."""
    if not what:
        return ""
    role = "alert" if kind == "problem" else "status"
    return f'<div class="notice {kind}" role="{role}"><b>{text(what)}</b> {text(remedy)}</div>'


def problem(error: UserError) -> str:
    return notice(error.what, error.remedy)


def sentences(title: str, found: Sequence[str], folded: bool = False) -> str:
    """A list of remarks, folded where there are many or where `folded` asks for it."""
    if not found:
        return ""
    rows = "".join(f"<li>{text(one)}</li>" for one in found)
    state = "open" if len(found) <= 3 and not folded else ""
    return f'<details class="notice note" {state}><summary>{text(title)}</summary><ul>{rows}</ul></details>'


def quiet(words: str, aloud: bool = False) -> str:
    role = ' role="status"' if aloud else ""
    return f'<p class="quiet"{role}>{text(words)}</p>'


def bar(done: float, left: str, right: str) -> str:
    """A progress bar, `done` from 0 to 1, below 0 for unknown; words under its two ends."""
    share = max(0.0, min(done, 1.0))
    value = f'aria-valuenow="{share * 100:.0f}"' if done >= 0 else ""
    style = f'style="width:{share * 100:.2f}%"' if done >= 0 else 'class="unknown"'
    return (
        f'<div class="bar" role="progressbar" aria-valuemin="0" aria-valuemax="100" {value} aria-label="{text(left)}">'
        f'<i {style}></i></div><div class="ends"><span>{text(left)}</span><span>{text(right)}</span></div>'
    )


def image(address: str, alt: str, lazy: bool = True) -> str:
    """A picture, or the room for it where it has no address."""
    if not address:
        return f'<span class="missing" role="img" aria-label="{text(alt)}"></span>'
    return f'<img src="{address}" alt="{text(alt)}" title="{text(alt)}"{" loading=lazy" if lazy else ""}>'


def learn(card: str, about: str = "") -> str:
    """A quiet question mark that opens a card of the learning path."""
    told = text(about or card)
    return (
        f'<button type="button" class="learn" data-learn="{text(card)}" aria-label="Learn about {told}" '
        f'title="Learn about {told}">?</button>'
    )


def compared(base: str, lora: str, prompt: str) -> str:
    """The same prompt and seed without and with the LoRA, given by their addresses, with a handle between them."""
    return (
        f'<div class="compared">{image(base, f"The base alone: {prompt}", lazy=False)}'
        f'{image(lora, f"With your LoRA: {prompt}", lazy=False)}'
        '<input type="range" min="0" max="100" value="50" aria-label="From the base to your LoRA"></div>'
        f'<div class="ends"><span>Base</span><span>With your LoRA, same seed</span></div>{quiet(prompt)}'
    )


def sample_grid(samples: Sequence[Sample], address: Address, ended: bool = False) -> str:
    """A row for each step, the newest first."""
    rows: dict[int, dict[int, Sample]] = {}
    for sample in samples:
        rows.setdefault(sample.step, {})[sample.seed] = sample  # the last set stands for the same step again
    if not rows:
        words = "No samples so far." if ended else "The first samples appear here soon."
        return f'<div class="samples empty">{quiet(words)}</div>'
    shown = []
    for step in sorted(rows, reverse=True):
        title = f"Step {step}" if step else "Before"
        cells = "".join(
            image(address(Path(s.path)), f"{s.prompt}, seed {s.seed}", lazy=False) for s in rows[step].values()
        )
        shown.append(f'<div class="row"><span>{title}</span><div class="cells">{cells}</div></div>')
    return f'<div class="samples">{"".join(shown)}</div>'


def report(words: str) -> str:
    """The end of a run's log, folded, with a button that copies it."""
    copy = '<button type="button" class="chip" data-copy>Copy a report</button>'
    private = quiet("Without your paths, captions and names.")
    return (
        f'<details class="report"><summary>Open the log</summary><div class="row">{copy}{private}</div>'
        f"<pre>{text(words)}</pre></details>"
    )


def duration(seconds: float) -> str:
    """About how long, in words."""
    if seconds < 50:
        return f"about {max(5, round(seconds / 5) * 5)} seconds"
    minutes = round(seconds / 60)
    if minutes < 100:
        return "about a minute" if minutes <= 1 else f"about {minutes} minutes"
    return f"about {seconds / 3600:.1f} hours"


def verdict(sentences: Sequence[str], kind: str, instead: str = "") -> str:
    """What is to be said of a trigger word, and a button that takes another."""
    take = f'<button type="button" class="chip" data-take="{text(instead)}">Use {text(instead)}</button>'
    return f'<p class="verdict {text(kind)}" role="status">{text(" ".join(sentences))} {take if instead else ""}</p>'


def counted(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
