"""Looks at pictures, kept by their content: what was looked at once is known at once."""

import contextlib
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.studio.doctor.look import VERSION, Look, unpacked
from lora_gui.studio.paths import Studio
from lora_gui.studio.sandbox import several

_STRANGE = (OSError, ValueError, TypeError, KeyError, SyntaxError)
_LARGEST = 2_000_000  # bytes of one that is kept


def keep(studio: Studio, digest: str, look: bytes) -> None:
    """Keep a look that was taken; where the disk refuses it is taken again when it is wanted."""
    try:
        files.write_bytes(_place(studio, digest), look)
    except UserError:
        return


def at(studio: Studio, pictures: Sequence[tuple[Path, str]]) -> list[Look | UserError]:
    """A look at each picture, files of whoever they are, or why it cannot be used.

    With each stands the digest of its pixels, empty where nobody has looked yet.
    """
    keys = [digest or _content(path) for path, digest in pictures]
    found = {key: look for key in dict.fromkeys(keys) if (look := _kept(studio, key))}
    missing = {key: path for key, (path, _) in zip(keys, pictures, strict=True) if key not in found}
    taken = several.decoded(missing.values(), lambda decoder, path: decoder.look(path))
    refused: dict[str, UserError] = {}
    for key, taken_one in zip(missing, taken, strict=True):
        if isinstance(taken_one, UserError):
            refused[key] = taken_one
        else:
            found[key] = unpacked(taken_one)
            keep(studio, key, taken_one)
    return [found[key] if key in found else refused[key] for key in keys]


def _kept(studio: Studio, key: str) -> Look | None:
    try:
        return unpacked(files.read_small(_place(studio, key), _LARGEST))
    except _STRANGE:
        return None


def _place(studio: Studio, key: str) -> Path:
    return studio.cache / f"looks-{VERSION}" / f"{key[:40]}.look"


def _content(path: Path) -> str:
    """The digest of a file; of what cannot be read, or never ends, of its place, so that it is refused."""
    with contextlib.suppress(OSError):
        if os.path.isfile(path):
            return f"f{files.sha256(path)}"
    return f"n{hashlib.sha256(str(path).encode('utf-8', 'surrogatepass')).hexdigest()}"
