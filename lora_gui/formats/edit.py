"""Edit the metadata of a .safetensors file: its tensors stay byte for byte, its hashes are true afterwards."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from lora_gui import files
from lora_gui.errors import UserError, legible
from lora_gui.formats.header import ANOTHER_COPY, HEADER_LIMIT, entries, read_header
from lora_gui.formats.metadata import hashes_of, packed

LEGACY = "sshs_legacy_hash"
_LEGACY_AT, _LEGACY_LONG = 0x100000, 0x10000  # bytes
_CHUNK = 1 << 20  # bytes


def metadata(path: Path) -> dict[str, str]:
    """Every field of the file, whole and as it stands: strangers' text. Raises UserError where it is no whole LoRA."""
    return _opened(path)[1]


def edit(path: Path, changes: Mapping[str, str | None], to: Path | None = None) -> None:
    """Give the file other metadata, in its place or in the new file `to`: the old one or the new one, never half of it.

    A field that is None or empty is taken out, all others stay. Of a link the file that it leads to is changed. Raises
    UserError where it is no whole LoRA, too much is to be written, it changes meanwhile, or the disk refuses.
    """
    path = path.resolve()
    tensors, fields, first = _opened(path)
    fields = {legible(key): legible(text) for key, text in {**fields, **changes}.items() if text}
    with _reading(path), open(path, "rb") as file:
        digest = hashlib.sha256()
        for chunk in _from(file, first):
            digest.update(chunk)
        fields |= hashes_of(digest.hexdigest())
        if LEGACY in fields:
            fields[LEGACY] = _legacy(file, first, tensors, fields)
        header = packed(tensors, fields)
    if len(header) > HEADER_LIMIT:
        raise UserError(f"That is too much to stand in {path.name}.", "Write less, or choose a smaller picture.")
    files.write_chunks(to or path, _whole(path, header, first, digest.hexdigest()))


def _opened(path: Path) -> tuple[dict[str, Any], dict[str, str], int]:
    """The tensors as the header names them, the metadata, and the offset of the first tensor."""
    read_header(path)  # the checks
    with _reading(path), open(path, "rb") as file:
        found, fields, first = entries(file, path.name, path.stat().st_size)
    tensors = {
        name: {"dtype": dtype, "shape": shape, "data_offsets": (begin, end)}
        for name, (dtype, shape, begin, end) in found.items()
    }
    return tensors, fields, first


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except UnicodeEncodeError:  # of a tensor's name; JSON takes half a letter, no program else does
        raise UserError(f"The header of {path.name} is damaged.", ANOTHER_COPY) from None
    except OSError as error:
        raise UserError(f"{path.name} could not be read ({error.strerror}).", "Check the disk and try again.") from None


def _from(file: IO[bytes], start: int, length: int = -1) -> Iterator[bytes]:
    """The bytes from `start` on, in pieces; all of them, or `length`."""
    file.seek(start)
    while length and (chunk := file.read(_CHUNK if length < 0 else min(_CHUNK, length))):
        length -= len(chunk) if length > 0 else 0
        yield chunk


def _whole(path: Path, header: bytes, first: int, expected: str) -> Iterator[bytes]:
    """The new file in pieces. Raises UserError at its end where the tensors are not those that were hashed before."""
    yield header
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for chunk in _from(file, first):
            digest.update(chunk)
            yield chunk
    if digest.hexdigest() != expected:
        raise UserError(f"{path.name} was changed by another program meanwhile.", "Try again; nothing was saved.")


def _legacy(file: IO[bytes], first: int, tensors: dict[str, Any], fields: Mapping[str, str]) -> str:
    """The hash of 64 KiB at 1 MiB of the file as it was with what its trainer said alone, the `ss_` fields.

    Source: kohya-ss/sd-scripts, library/train_util.py, addnet_hash_legacy and precalculate_safetensors_hashes.
    """
    header = packed(tensors, {key: text for key, text in fields.items() if key.startswith("ss_")})
    digest = hashlib.sha256(of_header := header[_LEGACY_AT : _LEGACY_AT + _LEGACY_LONG])
    start = first + max(0, _LEGACY_AT - len(header))
    for chunk in _from(file, start, _LEGACY_LONG - len(of_header)):
        digest.update(chunk)
    return digest.hexdigest()[:8]
