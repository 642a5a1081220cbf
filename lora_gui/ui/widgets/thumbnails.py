"""Small copies of pictures for the window, made once and kept in the cache; only these are served by address."""

import base64
import hashlib
import io
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio
from lora_gui.ui.widgets import markup


def folder(studio: Studio) -> Path:
    return studio.cache / "thumbnails"


class Thumbnails:
    """Addresses for small copies of at most `side` px; what could not be written is remarked on once, not raised."""

    def __init__(self, studio: Studio, side: int = 256) -> None:
        self._studio, self._side = studio, side
        self._problem: UserError | None = None

    def __call__(self, picture: Path) -> str:
        """Where the browser finds a copy of `picture`; empty where it cannot be read, or its copy not be written."""
        try:
            stat = picture.stat()
            mark = f"{picture.resolve()} {stat.st_mtime_ns} {stat.st_size} {self._side}"
            small = folder(self._studio) / f"{hashlib.sha256(mark.encode()).hexdigest()[:24]}.webp"
            if not small.is_file():
                files.write_bytes(small, _small(picture, self._side))
        except UserError as error:
            self._problem = error
            return ""
        except (OSError, ValueError, SyntaxError):
            return ""
        return f"/gradio_api/file={quote(small.resolve().as_posix())}"

    def remark(self) -> str:
        """A sentence where pictures are missing because their copies could not be written."""
        if self._problem is None:
            return ""
        is_full = isinstance(self._problem, files.DiskFullError)
        because = "the disk is full" if is_full else "their small copies cannot be kept"
        return markup.notice(f"Some pictures cannot be shown: {because}.", self._problem.remedy, "note")


def inline(picture: Path, side: int = 384) -> str:
    """A small copy as a data address, for a picture that changes all the time; empty where it cannot be read."""
    try:
        return f"data:image/webp;base64,{base64.b64encode(_small(picture, side)).decode()}"
    except (OSError, ValueError, SyntaxError):
        return ""


def _small(picture: Path, side: int) -> bytes:
    if not picture.is_file():  # a pipe would be waited for
        raise FileNotFoundError(picture)
    with Image.open(picture, formats=("PNG", "WEBP", "JPEG")) as image:
        copy = image.convert("RGBA" if image.has_transparency_data else "RGB")
    copy.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    copy.save(buffer, "WEBP", quality=90, method=2)
    return buffer.getvalue()
