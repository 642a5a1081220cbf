"""The texts in the EXIF of a picture, read within limits (EXIF 3.0, 4.5 to 4.7).

A1111, Forge, Fooocus and civitai.com put their text into `UserComment`, SwarmUI its record there or into another tag,
ComfyUI `prompt:...` into another.
Pillow would hold each tag that a file claims to have, as large as it likes.
"""

from __future__ import annotations

import struct

_COMFY, _LONGEST_NAME = ("prompt", "workflow"), 16
_OF_COMFY = '"class_type"'  # which each node of a workflow has
_MOST_TAGS = 256  # of a directory
BEGINS = b"Exif\0\0"  # before it in a JPEG, and by some in a WebP
_EXIF, _USER_COMMENT = 0x8769, 0x9286  # where more tags stand, and one of these
_LETTERS = (1, 2, 7)  # formats whose values are single bytes
_UTF_8 = (b"ASCII\0\0\0", b"\0" * 8)  # as a comment begins that is ASCII, which programs take for UTF-8
_UTF_16 = b"UNICODE\0"


def texts(data: bytes) -> dict[str, str]:
    """As chunks of a PNG would name them; nothing where it is damaged."""
    data = data.removeprefix(BEGINS)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        return {}
    try:
        tags = _tags(memoryview(data), data[4:8], order)
        if _EXIF in tags:
            tags |= _tags(memoryview(data), tags.pop(_EXIF), order)
    except struct.error:
        return {}
    comment, found = _decoded(bytes(tags.pop(_USER_COMMENT, b""))), dict[str, str]()
    for text in tags.values():
        name = bytes(text[:_LONGEST_NAME]).partition(b":")[0].decode("latin-1").lower()
        if name in _COMFY and name not in found:
            found[name] = str(text[len(name) + 1 :], "utf-8", "replace").strip("\0 ")
        elif name.startswith("{") and not comment:
            comment = str(text, "utf-8", "replace").strip("\0 ")
    if comment:
        found.setdefault("prompt" if comment.startswith("{") and _OF_COMFY in comment else "parameters", comment)
    return found


def _tags(data: memoryview, at: bytes | memoryview, order: str) -> dict[int, memoryview]:
    """The longer values of the directory that begins `at`, and where another one does."""
    found: dict[int, memoryview] = {}
    first = struct.unpack(f"{order}I", at)[0] + 2
    count = struct.unpack_from(f"{order}H", data, first - 2)[0]
    for entry in range(first, first + 12 * min(count, _MOST_TAGS), 12):
        tag, kind, length, begin = struct.unpack_from(f"{order}HHII", data, entry)
        if tag == _EXIF:
            found[tag] = data[entry + 8 : entry + 12]
        elif kind in _LETTERS and 4 < length <= len(data) - begin:
            found[tag] = data[begin : begin + length]
    return found


def _decoded(comment: bytes) -> str:
    code, text = comment[:8], comment[8:]
    if code == _UTF_16:
        # of either order, whatever the file's own; most letters of it are Latin, of which one byte is zero
        found = text.decode("utf-16-be" if text[::2].count(0) >= text[1::2].count(0) else "utf-16-le", "replace")
    else:
        found = (text if code in _UTF_8 else comment).decode("utf-8", "replace")
    return found.strip("\0\ufeff \n")
