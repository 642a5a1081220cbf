"""The index: what was read of files, kept in sqlite3 until they change; it can be thrown away at any time.

One table knows of each file the state it was read in and what was told of it. One that is damaged, of another version
or no index at all is made anew; where none can be written, everything is read again and nothing else suffers.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lora_gui import __version__, files
from lora_gui.errors import UserError, legible
from lora_gui.studio.paths import Studio

FILE = "library.sqlite3"  # in the cache
_LAYOUT = 1  # raised when the table or what is told in it changes
_TABLE = (
    "CREATE TABLE seen (kind TEXT, name TEXT, state TEXT, told TEXT, PRIMARY KEY (kind, name)) WITHOUT ROWID",
    "CREATE TABLE made_by (version TEXT)",
)
_WAIT = 2.0  # seconds for another window that writes

Told = dict[str, Any]  # JSON
States = Mapping[str, str]  # of each file by its name within a folder


def told_of(
    studio: Studio, kind: str, states: States, read: Callable[[str], Told | None], seconds: float | None = None
) -> tuple[dict[str, Told], int]:
    """What `read` tells of each file, read only where its state is new; and how many there was no time for.

    `read` gives None for what may be otherwise the next time, though the file stays as it is.
    """
    path = studio.cache / FILE
    base = _opened(path)
    try:
        known = _known(base, kind)
    except (sqlite3.DatabaseError, ValueError, TypeError):
        base.close()
        _throw_away(path)
        base, known = _opened(path), {}
    with contextlib.closing(base):
        told = {name: said for name, (state, said) in known.items() if states.get(name) == state}
        new, fresh, until = [name for name in states if name not in told], dict[str, Told](), _after(seconds)
        left = len(new)
        for name in new:
            if time.monotonic() >= until:  # a clock may stand still for 16 ms
                break
            left -= 1
            if (said := read(name)) is not None:
                fresh[name] = said
        rows = [(kind, name, states[name], json.dumps(said)) for name, said in fresh.items() if legible(name) == name]
        _write(base, kind, known.keys() - states.keys(), rows)
    return told | fresh, left


def _after(seconds: float | None) -> float:
    return float("inf") if seconds is None else time.monotonic() + seconds


def _opened(path: Path) -> sqlite3.Connection:
    """The index at `path`; one in memory where none can be had there."""
    try:
        if (base := _sound(path)) is None:
            _throw_away(path)
            base = _sound(path)
    except sqlite3.OperationalError:  # another window has it for long
        base = None
    return base or _made(":memory:")


def _throw_away(path: Path) -> None:
    for one in (path, path.with_name(f"{path.name}-journal")):
        with contextlib.suppress(UserError):
            files.remove(one)


def _sound(path: Path) -> sqlite3.Connection | None:
    """The index at `path`, made where there is none; None where what is there is no index of this version.

    Raises OperationalError where another window has it.
    """
    try:
        files.make_folder(path.parent)
        if not path.exists():
            return _made(path)
        return _connected(path, _is_sound)
    except (sqlite3.Error, UserError, OSError) as error:
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_BUSY:
            raise
        return None


def _is_sound(base: sqlite3.Connection) -> None:
    """Raises sqlite3.Error where it is no index, or one of another version."""
    if base.execute("SELECT version FROM made_by").fetchone() != (_version(),):
        raise sqlite3.DataError("an index of another version")
    base.execute("SELECT kind, name, state, told FROM seen LIMIT 1")


def _made(path: Path | str) -> sqlite3.Connection:
    return _connected(path, _make)


def _make(base: sqlite3.Connection) -> None:
    with base:
        base.execute("BEGIN IMMEDIATE")
        if not base.execute("SELECT 1 FROM sqlite_master").fetchone():  # another window may have just made it
            for one in _TABLE:
                base.execute(one)
            base.execute("INSERT INTO made_by VALUES (?)", (_version(),))


def _connected(path: Path | str, begin: Callable[[sqlite3.Connection], None]) -> sqlite3.Connection:
    """A connection that `begin` has tried; closed where that fails, since Windows deletes no file that is open."""
    base = sqlite3.connect(path, timeout=_WAIT, isolation_level=None)
    with contextlib.ExitStack() as failed:
        failed.callback(base.close)
        base.execute("PRAGMA synchronous = OFF")  # what is lost is read again
        begin(base)
        failed.pop_all()
    return base


def _version() -> str:
    return f"{__version__} {_LAYOUT}"


def _known(base: sqlite3.Connection, kind: str) -> dict[str, tuple[str, Told]]:
    """State and what was told of each file. Raises DatabaseError and ValueError where the index is damaged."""
    try:
        rows = base.execute("SELECT name, state, told FROM seen WHERE kind = ?", (kind,)).fetchall()
    except sqlite3.OperationalError:  # locked for long by another window
        return {}
    return {name: (state, json.loads(told)) for name, state, told in rows}


def _write(base: sqlite3.Connection, kind: str, gone: set[str], rows: list[tuple[str, str, str, str]]) -> None:
    """Keep what is new; another window that writes for long keeps it instead."""
    if not gone and not rows:
        return
    try:
        with base:
            base.execute("BEGIN IMMEDIATE")
            base.executemany("DELETE FROM seen WHERE kind = ? AND name = ?", [(kind, name) for name in gone])
            base.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?)", rows)
    except sqlite3.Error:
        return
