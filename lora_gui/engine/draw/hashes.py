"""The sha256 by which other programs know a base of one file, and a LoRA; of a base computed once for each file."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Generator
from pathlib import Path

from lora_gui import files
from lora_gui.formats.header import Header, state
from lora_gui.protocol.events import Event, Phase
from lora_gui.protocol.jobs import Base

_KEPT = "base_hashes.json"  # in the cache
_MOST = 200
_OF_NOTHING = hashlib.sha256().hexdigest()  # which some trainers write into every file


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


def of_lora(path: Path, header: Header) -> str:
    """Of all that stands after the header, as A1111 and Forge have it and Civitai's AutoV3: as the file says it, or
    computed where it says none."""
    said = header.metadata.get("sshs_model_hash", "")
    if len(said) == len(_OF_NOTHING) and said != _OF_NOTHING:
        return said
    with path.open("rb") as file:
        file.seek(struct.unpack("<Q", file.read(8))[0], 1)
        return hashlib.file_digest(file, "sha256").hexdigest()
