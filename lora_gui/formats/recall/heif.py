"""The EXIF of an AVIF or HEIC, found by its boxes within limits (ISO/IEC 14496-12, 8.11; ISO/IEC 23008-12, A.2.1)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import IO

from lora_gui.formats.recall import exif
from lora_gui.formats.recall.chunks import MOST, TEXTS

BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")


def texts(file: IO[bytes]) -> dict[str, str]:
    """`file` stands at its beginning; nothing where it is damaged."""
    try:
        return _texts(file)
    except (struct.error, IndexError, OverflowError):
        return {}


def _texts(file: IO[bytes]) -> dict[str, str]:
    for _ in range(TEXTS):
        head = file.read(8)
        size = int.from_bytes(head[:4], "big")
        if head[4:] == b"meta" and 8 < size <= MOST:
            place = _place(file.read(size - 8)[4:])
            if place is None:
                break
            file.seek(place[0])
            data = file.read(min(place[1], MOST))
            return exif.texts(data[4 + int.from_bytes(data[:4], "big") :])  # what comes first says where it begins
        if size < 8:
            break
        file.seek(size - 8, 1)
    return {}


def _place(meta: bytes) -> tuple[int, int] | None:
    """Where the file has the bytes of the item that is its EXIF, and how many; None where it has none."""
    boxes = dict(_boxes(meta))
    entries = boxes.get(b"iinf", b"")
    for kind, entry in _boxes(entries[6 if entries[:1] == b"\0" else 8 :]):
        wide = 4 if entry[:1] == b"\3" else 2
        if kind == b"infe" and entry[6 + wide : 10 + wide] == b"Exif":
            return _located(boxes.get(b"iloc", b""), int.from_bytes(entry[4 : 4 + wide], "big"))
    return None


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(data) and (size := int.from_bytes(data[at : at + 4], "big")) >= 8:
        yield data[at + 4 : at + 8], data[at + 8 : at + size]
        at += size


def _located(iloc: bytes, wanted: int) -> tuple[int, int] | None:
    """Offset and length of an item that lies in the file in one piece."""
    version, sizes = iloc[0], (iloc[4] >> 4, iloc[4] & 15, iloc[5] >> 4, iloc[5] & 15 if iloc[0] else 0)
    at, wide = 6, 4 if version == 2 else 2

    def number(size: int) -> int:
        nonlocal at
        at += size
        if at > len(iloc):
            raise struct.error
        return int.from_bytes(iloc[at - size : at], "big")

    offset_size, length_size, base_size, index_size = sizes
    for _ in range(number(wide)):
        item, method, _, base = number(wide), number(2) & 15 if version else 0, number(2), number(base_size)
        pieces = number(2)
        if item == wanted:
            number(index_size)
            return (base + number(offset_size), number(length_size)) if pieces == 1 and not method else None
        number(pieces * (index_size + offset_size + length_size))
    return None
