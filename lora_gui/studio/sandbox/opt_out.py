"""Marks by which a picture's maker says: not for training; read from the file as it came, where it may be hostile."""

import re
from pathlib import Path

from PIL import ExifTags, Image

from lora_gui.studio.sandbox.picture_decode import DAMAGED

_LONGEST = 300_000_000  # bytes that are looked through
_TEXT = 100_000  # characters of one text that are
# IPTC 2023.1 and PLUS: the property "Data Mining", one of a vocabulary of addresses.
# https://ns.useplus.org/LDF/ldf-XMPSpecification#DataMining
_PLUS = re.compile(rb"DMI-PROHIBITED[\w-]*")
# C2PA 1.4 and CAWG 1.1: in the assertion, each use of data mining and training is allowed, notAllowed or constrained.
_LABEL = re.compile(rb"(?:c2pa|cawg)\.training-mining")
_USE = re.compile(rb"(?:data_mining|ai_training|ai_generative_training).{0,24}?(?:notAllowed|constrained)", re.S)
_REACH = 4096  # bytes behind the label
# What pages say to robots, and what people write into keywords and comments.
_NO_AI = re.compile(r"\bno-?(?:image)?-?ai\b|\bno[ -]ai[ -]training\b|#noai\b", re.I)


def marks(path: Path) -> list[str]:
    """What the file says against being learnt from, each named by who defined it; empty where it says nothing."""
    with open(path, "rb") as file:
        data = file.read(_LONGEST)
    texts = _texts(path)
    whole = data + "\n".join(texts).encode("utf-8", "replace")
    found = {
        "IPTC and PLUS: data mining is prohibited": bool(_PLUS.search(whole)),
        "C2PA: training and data mining are not allowed": _c2pa(data),
        "noai": any(map(_NO_AI.search, texts)),
    }
    return [name for name, is_there in found.items() if is_there]


def _c2pa(data: bytes) -> bool:
    places = (match.end() for match in _LABEL.finditer(data))
    return any(_USE.search(data, place, place + _REACH) for place in places)


def _texts(path: Path) -> list[str]:
    """The comments, keywords and fields of a picture."""
    try:
        with Image.open(path) as image:
            if image.format != "JPEG":
                image.load()  # texts may stand behind the pixels
            values = [*image.info.values(), *_exif(image)]
    except DAMAGED:
        return []
    return [text for value in values if (text := _text(value))]


def _exif(image: Image.Image) -> list[object]:
    exif = image.getexif()
    return [*exif.values(), *exif.get_ifd(ExifTags.IFD.Exif).values()]


def _text(value: object) -> str:
    if isinstance(value, bytes):
        wide = value.count(0) > len(value) // 3  # EXIF has texts in 16 bits, too
        return value[:_TEXT].decode("utf-16-le" if wide else "utf-8", "replace")
    return value[:_TEXT] if isinstance(value, str) else ""
