"""Small copies of pictures for the window, made once and kept in the cache; only these are served by address."""

import base64
import hashlib
import io
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from lora_gui import files
from lora_gui.studio.paths import Studio


def folder(studio: Studio) -> Path:
    return studio.cache / "thumbnails"


def address(studio: Studio, picture: Path, side: int = 256) -> str:
    """Where the browser finds a copy of `picture` of at most `side` px; empty where it cannot be read."""
    try:
        stat = picture.stat()
        mark = f"{picture.resolve()} {stat.st_mtime_ns} {stat.st_size} {side}"
        small = folder(studio) / f"{hashlib.sha256(mark.encode()).hexdigest()[:24]}.webp"
        if not small.is_file():
            files.write_bytes(small, _small(picture, side))
    except (OSError, ValueError, SyntaxError):
        return ""
    return f"/gradio_api/file={quote(small.resolve().as_posix())}"


def inline(picture: Path, side: int = 384) -> str:
    """A small copy as a data address, for a picture that changes all the time; empty where it cannot be read."""
    try:
        return f"data:image/webp;base64,{base64.b64encode(_small(picture, side)).decode()}"
    except (OSError, ValueError, SyntaxError):
        return ""


def _small(picture: Path, side: int) -> bytes:
    with Image.open(picture, formats=("PNG", "WEBP", "JPEG")) as image:
        copy = image.convert("RGB")
    copy.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    copy.save(buffer, "WEBP", quality=90, method=2)
    return buffer.getvalue()
