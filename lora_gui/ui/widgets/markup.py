"""Small pieces of HTML that the tabs are made of; every text is escaped, because many come from files of strangers."""

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from lora_gui.errors import UserError
from lora_gui.protocol.events import Sample
from lora_gui.studio.things.pictures import Picture

Address = Callable[[Path], str]  # where the browser finds a picture


def text(words: str) -> str:
    """Escaped; also the signs with which gradio's HTML component would begin a template, and half letters."""
    whole = words.encode("utf-8", "replace").decode("utf-8")
    return escape(whole).replace("{", "&#123;").replace("}", "&#125;").replace("$", "&#36;").replace("`", "&#96;")


def notice(what: str, remedy: str = "", kind: str = "problem") -> str:
    """A quiet message: `problem` or `note`; empty for no words."""
    if not what:
        return ""
    role = "alert" if kind == "problem" else "status"
    return f'<div class="notice {kind}" role="{role}"><b>{text(what)}</b> {text(remedy)}</div>'


def problem(error: UserError) -> str:
    return notice(error.what, error.remedy)


def sentences(title: str, found: Sequence[str]) -> str:
    """A list of remarks, folded where there are many."""
    if not found:
        return ""
    rows = "".join(f"<li>{text(one)}</li>" for one in found)
    state = "open" if len(found) <= 3 else ""
    return f'<details class="notice note" {state}><summary>{text(title)}</summary><ul>{rows}</ul></details>'


def quiet(words: str) -> str:
    return f'<p class="quiet">{text(words)}</p>'


def bar(done: float, left: str, right: str) -> str:
    """A progress bar, `done` from 0 to 1, below 0 for unknown; words under its two ends."""
    share = max(0.0, min(done, 1.0))
    value = f'aria-valuenow="{share * 100:.0f}"' if done >= 0 else ""
    style = f'style="width:{share * 100:.2f}%"' if done >= 0 else 'class="unknown"'
    return (
        f'<div class="bar" role="progressbar" aria-valuemin="0" aria-valuemax="100" {value} aria-label="{text(left)}">'
        f'<i {style}></i></div><div class="ends"><span>{text(left)}</span><span>{text(right)}</span></div>'
    )


def picture_grid(pictures: Sequence[Picture], address: Address) -> str:
    cells = "".join(
        f'<figure title="{text(p.label)}">'
        f'<img src="{address(p.path)}" alt="{text(p.caption or p.label)}" loading="lazy"></figure>'
        for p in pictures
    )
    return f'<div class="pictures">{cells}</div>'


def caption_rows(pictures: Sequence[Picture], address: Address) -> str:
    """How many pictures there are, and folded, each with its caption; the textarea's data-index says which."""
    rows = "".join(
        f'<label class="caption"><img src="{address(p.path)}" alt="" loading="lazy">'
        f'<textarea rows="2" data-index="{index}" aria-label="Caption of {text(p.label)}">'
        f"{text(p.caption)}</textarea></label>"
        for index, p in enumerate(pictures)
    )
    help = quiet("What each picture shows, without the trigger word. Every change is kept at once.")
    count = counted(len(pictures), "picture")
    return f'<details><summary>{count} <b>Edit captions</b></summary>{help}<div class="rows">{rows}</div></details>'


def sample_grid(samples: Sequence[Sample], address: Address) -> str:
    """A row for each step, the newest first."""
    rows: dict[int, dict[int, Sample]] = {}
    for sample in samples:
        rows.setdefault(sample.step, {})[sample.seed] = sample  # the last set stands for the same step again
    if not rows:
        return '<div class="samples empty"><p class="quiet">The first samples appear here soon.</p></div>'
    shown = []
    for step in sorted(rows, reverse=True):
        title = f"Step {step}" if step else "Before"
        cells = "".join(
            f'<img src="{address(Path(s.path))}" alt="{text(s.prompt)}" title="{text(s.prompt)}">'
            for s in rows[step].values()
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


def chips(words: Sequence[str]) -> str:
    """Trigger words as buttons; a click puts the word into the prompt."""
    if not words:
        return ""
    buttons = "".join(
        f'<button type="button" class="chip" data-word="{text(word)}">{text(word)}</button>' for word in words
    )
    return f'<div class="chips"><span>Trigger words</span>{buttons}</div>'


def duration(seconds: float) -> str:
    """About how long, in words."""
    if seconds < 50:
        return f"about {max(5, round(seconds / 5) * 5)} seconds"
    minutes = round(seconds / 60)
    if minutes < 100:
        return "about a minute" if minutes <= 1 else f"about {minutes} minutes"
    return f"about {seconds / 3600:.1f} hours"


def verdict(words: str, good: bool) -> str:
    return f'<p class="verdict {"good" if good else "doubtful"}" role="status">{text(words)}</p>'


def counted(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
