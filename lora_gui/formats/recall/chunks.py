"""The texts of a PNG, read without its pixels and within limits (PNG specification, third edition, 11.3).

What is damaged or too long is passed over.
"""

from __future__ import annotations

import struct
import zlib
from typing import IO

from lora_gui.formats.recall import exif

MOST = 4_000_000  # bytes of a text, unpacked; a large ComfyUI workflow has some hundred thousand
CHUNKS = 100_000  # of a file
TEXTS = 64
_HEAD = struct.Struct(">I4s")


def of_png(file: IO[bytes]) -> dict[str, str]:
    """The texts by their keywords; `file` stands behind the signature."""
    found: dict[str, str] = {}
    for _ in range(CHUNKS):
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size or len(found) >= TEXTS:
            break
        length, kind = _HEAD.unpack(head)
        if kind == b"IEND":
            break
        ends = file.tell() + length + 4  # behind its checksum
        if kind in _READERS and length <= MOST:
            _keep(kind, file.read(length), found)
        elif kind == b"eXIf" and length <= MOST:
            found = exif.texts(file.read(length)) | found
        file.seek(ends)
    return found


def _keep(kind: bytes, data: bytes, found: dict[str, str]) -> None:
    """Keep the text of one chunk; the first of a keyword counts."""
    keyword, _, rest = data.partition(b"\0")
    text = _READERS[kind](rest)
    if text is not None and 0 < len(keyword) < 80:
        found.setdefault(keyword.decode("latin-1"), text)


def _plain(rest: bytes) -> str | None:
    """tEXt. It should be Latin-1; programs write UTF-8 into it all the same."""
    try:
        return rest.decode("utf-8")
    except UnicodeDecodeError:
        return rest.decode("latin-1")


def _packed(rest: bytes) -> str | None:
    """zTXt."""
    raw = _unpacked(rest[1:]) if rest[:1] == b"\0" else None
    return None if raw is None else _plain(raw)


def _international(rest: bytes) -> str | None:
    """iTXt: whether it is packed, how, and after two more texts the text itself."""
    if len(rest) < 2:
        return None
    packed, method = rest[0], rest[1]
    _, _, after = rest[2:].partition(b"\0")
    _, _, body = after.partition(b"\0")
    raw = (_unpacked(body) if method == 0 else None) if packed else body
    return None if raw is None else raw.decode("utf-8", errors="replace")


def _unpacked(data: bytes) -> bytes | None:
    """None where it is damaged, or larger than a text may be."""
    unpacker = zlib.decompressobj()
    try:
        found = unpacker.decompress(data, MOST)
    except zlib.error:
        return None
    return found if unpacker.eof else None


_READERS = {b"tEXt": _plain, b"zTXt": _packed, b"iTXt": _international}
