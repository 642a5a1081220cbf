"""The digest by which a picture is known again, whatever file it came in: of its upright RGB pixels."""

import hashlib
from pathlib import Path

from PIL import Image


def of(picture: Image.Image) -> str:
    """sha256 over the size and the pixels of an upright RGB picture, as hex."""
    size = f"{picture.width}x{picture.height}:".encode("ascii")
    return hashlib.sha256(size + picture.tobytes()).hexdigest()


def of_file(path: Path) -> str:
    """The digest of a PNG of our own making. Raises what Pillow raises where it is damaged."""
    with Image.open(path, formats=("PNG",)) as image:
        return of(image.convert("RGB"))
