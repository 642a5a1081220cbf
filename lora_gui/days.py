"""Days and times as people write them."""

from datetime import date, datetime


def day(iso: str) -> str:
    """`2026-11-28`, with or without a time behind it, as `28 Nov 2026`; as it is where it is no day."""
    try:
        return _written(date.fromisoformat(iso[:10]))
    except ValueError:
        return iso[:10]


def moment(when: datetime) -> str:
    """`28 Nov 2026, 14:32`."""
    return f"{_written(when)}, {when:%H:%M}"


def _written(one: date) -> str:
    return f"{one.day} {one:%b %Y}"
