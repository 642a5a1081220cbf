"""The runs that wait, the others, and the picture sets, each as a list of rows with buttons; knows no component."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from lora_gui import days
from lora_gui.studio.tasks.run import Summary
from lora_gui.studio.things.pictures import SetSummary
from lora_gui.ui.widgets import markup
from lora_gui.ui.widgets.parts import ACTS

STATES = {
    "queued": "starting",
    "running": "training",
    "pausing": "pausing",
    "stopping": "stopping",
    "paused": "paused",
    "stopped": "stopped",
    "finished": "ready",
    "failed": "could not go on",
    "elsewhere": "on another computer",
}
SHOWN = 4  # pictures of a set
ASKS = ACTS + """
// The list comes anew whenever anything in it changes, or one row becomes another: whoever is at a row stays at it.
let last = null;
element.addEventListener('focusin', ({ target }) => {
  last = { name: target.closest('[data-name]')?.dataset.name, act: target.dataset.act };
});
for (const way of ['focusin', 'pointerdown'])
  document.addEventListener(way, ({ target }) => { if (!element.contains(target)) last = null; });
new MutationObserver(() => {
  const at = document.activeElement;
  if (!last?.name || at.closest('[data-name]')?.dataset.name === last.name) return;
  const row = element.querySelector(`[data-name="${CSS.escape(last.name)}"]`);
  (row?.querySelector(`[data-act=${last.act}]`) ?? row?.querySelector('button'))?.focus({ preventScroll: true });
}).observe(element, { childList: true, subtree: true, attributeFilter: ['data-name'] });
"""


def waiting(found: Sequence[Summary], held: bool) -> str:
    """The runs whose turn has not come, in order."""
    if not found:
        return ""
    rows = []
    for place, run in enumerate(found, start=1):
        buttons = [
            _button("up", "Up", f"Up: let {run.name} come earlier") if place > 1 else "",
            _button("down", "Down", f"Down: let {run.name} come later") if place < len(found) else "",
            _button("remove", "Take out", f"Take out of the queue: {run.name}"),
        ]
        cells = f"<b>{place}. {markup.text(run.name)}</b>", f"<span>{_on(run)}</span>"
        rows.append(_row(run.folder.name, *cells, f'<span class="buttons">{"".join(buttons)}</span>'))
    go_on = "They wait until you say so."
    hint = f'<div class="under">{markup.quiet(go_on)}{_button("go-on", "Let them go on")}</div>' if held else ""
    return f'<h2 class="ask">Waiting</h2>{hint}<ol class="rows waiting">{"".join(rows)}</ol>'


def past(found: Sequence[Summary]) -> str:
    """All other runs, each a button that opens it."""
    if not found:
        return markup.quiet("Nothing was trained yet. What you train is kept here.")
    rows = []
    for run in found:
        name = f'<button type="button" class="name" data-act="open">{markup.text(run.name)}</button>'
        state = STATES.get(run.state, run.state)
        steps = f"{run.step:,} of {run.of:,} steps" if run.of else ""
        facts = (_on(run), f"{state}, {steps}" if steps else state, when(run.folder.name))
        rows.append(_row(run.folder.name, name, *(f"<span>{fact}</span>" for fact in facts)))
    return f'<h2 class="ask">Runs</h2><ol class="rows">{"".join(rows)}</ol>'


def sets(found: Sequence[SetSummary], address: Callable[[Path], str]) -> str:
    """The picture sets, to be used again or deleted; what that frees is said before."""
    rows = []
    for one in found:
        small = "".join(markup.image(address(path), "") for path in one.first[:SHOWN])
        title = f'<span><b>{markup.text(one.title)}</b><span class="few">{small}</span></span>'
        facts = [markup.counted(one.count, "picture"), markup.counted(one.captions, "caption")]
        facts += [f"used by {', '.join(dict.fromkeys(one.used_by))}"] if one.used_by else []
        said = markup.text(one.problem or ", ".join(fact for fact in facts if fact != one.title))
        asking = (
            f'<span class="asking">Frees {size(one.size)}. {_button("delete", "Delete them")}'
            f"{_button('keep', 'Keep them')}</span>"
        )
        use = "" if one.problem else _button("use", "Use them", f"Use them: {one.title}")
        buttons = f'<span class="buttons">{use}{_button("ask", "Delete", f"Delete {one.title}")}</span>'
        rows.append(_row(one.folder.name, title, f"<span>{said}</span>", buttons, asking))
    return f'<h2 class="ask">Pictures</h2><ol class="rows sets">{"".join(rows)}</ol>' if rows else ""


def differences(found: dict[str, tuple[object, object]], titles: Callable[[str], str]) -> str:
    """What of a run is not as its preset has it."""
    if not found:
        return markup.quiet("Everything is as its preset has it.")
    rows = "".join(
        f"<tr><th>{markup.text(titles(name))}</th><td>{_value(value)}</td><td>{_value(preset)}</td></tr>"
        for name, (preset, value) in found.items()
    )
    head = "<tr><th>Not as its preset has it</th><td>Here</td><td>Preset</td></tr>"
    return f'<table class="differs">{head}{rows}</table>'


def size(count: int) -> str:
    """Bytes as people say them."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(count / 1e6, 0.1):.{0 if count >= 1e7 else 1}f} MB"


def when(folder: str) -> str:
    """The local time in a folder's name, as `28 Nov 2026, 14:32`; empty where it holds none."""
    try:
        made = datetime.strptime(folder[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC).astimezone()
    except (ValueError, OverflowError):
        return ""
    return days.moment(made)


def _on(run: Summary) -> str:
    """`Style on Starter`; nothing of a damaged one."""
    return markup.text(f"{run.preset} on {run.base_title}") if run.base_title else "damaged"


def _row(name: str, *cells: str) -> str:
    return f'<li data-name="{markup.text(name)}">{"".join(cells)}</li>'


def _button(act: str, words: str, aloud: str = "") -> str:
    label = f' aria-label="{markup.text(aloud)}"' if aloud else ""
    return f'<button type="button" class="chip" data-act="{act}"{label}>{words}</button>'


def _value(value: object) -> str:
    if isinstance(value, (tuple, list)):
        return markup.text(", ".join(map(str, value)) or "none")
    return markup.text({True: "on", False: "off"}[value] if isinstance(value, bool) else f"{value}")
