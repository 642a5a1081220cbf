"""The texts that a picture file holds, PNG, JPEG, WebP or AVIF: read without its pixels and within limits."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from lora_gui.errors import UserError
from lora_gui.formats.recall import exif, heif
from lora_gui.formats.recall.chunks import CHUNKS, MOST, of_png


def texts(path: Path) -> dict[str, str]:
    """The texts by their keywords, those of EXIF called as chunks of a PNG would be. Raises UserError where it is no
    such picture or cannot be read."""
    try:
        if not path.is_file():
            raise UserError(f"There is no picture {path.name}.", "Choose a PNG, JPEG, WebP or AVIF file.")
        with path.open("rb") as file:
            begins = file.read(12)
            for signature, reader in ((b"\x89PNG\r\n\x1a\n", of_png), (b"\xff\xd8", _of_jpeg)):
                if begins.startswith(signature):
                    file.seek(len(signature))
                    return reader(file)
            if begins[:4] == b"RIFF" and begins[8:] == b"WEBP":
                return _of_webp(file)
            if begins[4:8] == b"ftyp" and begins[8:] in heif.BRANDS:
                file.seek(0)
                return heif.texts(file)
    except (OSError, ValueError) as error:
        raise UserError(f"{path.name} could not be read.", "Check the disk and try again.") from error
    raise UserError(f"{path.name} is no PNG, JPEG, WebP or AVIF.", "Choose the picture as the program had saved it.")


def _of_jpeg(file: IO[bytes]) -> dict[str, str]:
    """`file` stands behind the first two bytes."""
    for _ in range(CHUNKS):
        marker = file.read(4)
        if len(marker) < 4 or marker[0] != 0xFF or marker[1] == 0xDA:  # the pixels
            break
        data = file.read(max(int.from_bytes(marker[2:], "big") - 2, 0))
        if marker[1] == 0xE1 and data.startswith(exif.BEGINS):
            return exif.texts(data)
    return {}


def _of_webp(file: IO[bytes]) -> dict[str, str]:
    """`file` stands behind the first twelve bytes (RFC 9649, 2.6)."""
    for _ in range(CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            break
        length = int.from_bytes(head[4:], "little")
        if head[:4] == b"EXIF" and length <= MOST:
            return exif.texts(file.read(length))
        file.seek(length + length % 2, 1)
    return {}
