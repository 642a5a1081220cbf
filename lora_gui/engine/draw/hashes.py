"""The sha256 by which other programs know a base of one file, computed once for each state of the file."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from lora_gui import files
from lora_gui.formats.header import state
from lora_gui.protocol.events import Event, Phase
from lora_gui.protocol.jobs import Base

_KEPT = "base_hashes.json"  # in the cache
_MOST = 200


def of_base(base: Base, cache: str) -> Generator[Event, None, str]:
    """Of the base's file; empty where it is a folder, which has none, or where nothing can be kept."""
    path = Path(base.path)
    if not cache or not path.is_file():
        return ""
    kept = Path(cache) / _KEPT
    known = files.read_json(kept) or {}
    key = f"{path} {state(path)}"
    if key not in known:
        yield Phase(f"Reading the hash of {base.title}, which is done once")
        known = dict(list(known.items())[-_MOST:]) | {key: files.sha256(path)}
        files.make_folder(kept.parent)
        files.write_json(kept, known)
    return str(known[key])
