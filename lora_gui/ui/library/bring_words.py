"""LoRAs on their way here, as rows of HTML; knows no component."""

from __future__ import annotations

from collections.abc import Sequence

from lora_gui.studio.library.dropped import Dropped
from lora_gui.studio.tasks.bringing import Bringing, Brought
from lora_gui.studio.tasks.download_words import progress, size
from lora_gui.studio.tasks.fetching import FetchStatus
from lora_gui.ui.widgets import markup

MOST_FILES = 40  # of a link that are offered
_LONGEST = 80  # characters of a link


def under_way(found: Sequence[tuple[Bringing, FetchStatus]]) -> str:
    """Each with its bar, what it waits for, and what can be done about it."""
    return "".join(_one(one, status) for one, status in found)


def taken(brought: Brought) -> str:
    """What was brought from elsewhere, and what was said of it there."""
    about = brought.about
    base = f" Its maker names {about.base} as its base." if about.base else ""
    words = f" Trigger words: {'; '.join(about.words)[:300]}." if about.words else ""
    return markup.notice(f"{brought.lora.name} is among your LoRAs.", f"{brought.called}{base}{words}".strip(), "good")


def dropped(found: Dropped) -> str:
    """What came of files that were dropped."""
    some = ", ".join(one.name for one in found.taken[:5]) + (" and more" if len(found.taken) > 5 else "")
    count = markup.counted(len(found.taken), "LoRA")
    said = markup.notice(f"{count} taken in: {some}.", "", "good") if found.taken else ""
    return said + "".join(map(markup.quiet, found.called)) + markup.sentences("Not taken", found.left)


def _one(one: Bringing, status: FetchStatus) -> str:
    title = str(status.found.get("title") or one.link)[:_LONGEST]
    share = status.done / status.of if status.of else -1.0
    bar = markup.bar(share, progress(status) or "Starting", "") if status.goes_on or status.done else ""
    said = markup.notice(status.what, status.remedy) if status.what else ""
    notes = "".join(markup.quiet(note) for note in status.notes)
    buttons = f'<span class="buttons">{_buttons(one, status, title)}</span>'
    choice = _choice(one, status) if status.cause == "choose" else ""
    head = f'<div class="base-head"><b>{markup.text(title)}</b>{buttons}</div>'
    name = markup.text(one.task.path.name)
    return f'<div class="bringing" data-name="{name}">{head}{bar}{said}{notes}</div>{choice}'


def _buttons(one: Bringing, status: FetchStatus, title: str) -> str:
    made = []
    if status.state == "running":
        made.append(_button("pause", "Pause", f"Pause {title}"))
    elif not status.goes_on and status.cause != "choose":
        made.append(_button("go-on", "Go on", f"Go on with {title}"))
    return "".join([*made, _button("cancel", "Cancel" if status.goes_on else "Leave it", f"Leave {title}")])


def _choice(one: Bringing, status: FetchStatus) -> str:
    """The files of a link as buttons, the name of each in its row."""
    there = status.found.get("files")
    files = dict(list(there.items())[:MOST_FILES]) if isinstance(there, dict) else {}
    rows = "".join(
        f'<li data-name="{markup.text(one.task.path.name)}/{markup.text(str(name))}">'
        f"{_button('choose', str(name), f'Bring {name}')} "
        f'<span class="quiet">{size(count) if isinstance(count, int) and count > 0 else ""}</span></li>'
        for name, count in files.items()
    )
    return f'<ul class="choice">{rows}</ul>'


def _button(act: str, words: str, aloud: str) -> str:
    label = markup.text(aloud)
    return f'<button type="button" class="chip" data-act="{act}" aria-label="{label}">{markup.text(words)}</button>'
