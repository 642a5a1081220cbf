"""How a download stands, in words for the window and the command line."""

from __future__ import annotations

from lora_gui.studio.tasks.fetching import FetchStatus

_STATES = {
    "starting": "Starting",
    "pausing": "Pausing",
    "stopping": "Ending",
    "paused": "Paused",
    "finished": "Downloaded",
}


def size(count: int) -> str:
    """Bytes as people say them."""
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count / 1e3:.0f} KB"


def duration(seconds: float) -> str:
    """A time that is left, no more exactly than it is known."""
    minutes = round(seconds / 60)
    if minutes >= 90:
        return f"{seconds / 3600:.1f} hours left"
    return f"{minutes} min left" if minutes else "less than a minute left"


def progress(status: FetchStatus) -> str:
    """How far it has come and how fast it comes, or what it waits for."""
    parts = [_STATES[status.state]] if status.state in _STATES else []
    if status.of:
        parts.append(f"{size(status.done)} of {size(status.of)}")
    if status.state == "running":
        parts += [status.doing] if status.doing else _pace(status)
    return ", ".join(parts)


def _pace(status: FetchStatus) -> list[str]:
    if status.speed <= 0:
        return []
    return [f"{size(int(status.speed))}/s"] + ([duration(status.seconds_left)] if status.seconds_left else [])
