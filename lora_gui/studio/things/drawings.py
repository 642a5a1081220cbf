"""A drawing on the disk: whether it is ours, and how it was made."""

from pathlib import Path

from PIL import Image

from lora_gui.errors import UserError
from lora_gui.studio.sandbox.picture_decode import DAMAGED

RECORD_LIMIT = 20_000  # characters of a drawing's record that are shown


def is_ours(drawing: Path) -> bool:
    """Whether a file has no other name; one that also lies elsewhere is none of ours and is not shown."""
    try:
        return not drawing.is_symlink() and drawing.stat().st_nlink <= 1
    except OSError:
        return False


def pixels(picture: Path) -> Image.Image:
    """A drawing, or another picture of our own making, as RGB. Raises UserError where it is damaged, or gone."""
    try:
        with Image.open(picture, formats=("PNG",)) as image:
            return image.convert("RGB")
    except DAMAGED:
        what = f"The picture {picture.name} is damaged, or not there any more."
        raise UserError(what, "Draw it again, or add it again.") from None


def record(drawing: Path) -> str:
    """How a drawing was made, as it stands in the picture itself; empty where it says nothing."""
    try:
        if not drawing.is_file():
            return ""
        with Image.open(drawing, formats=("PNG",)) as image:
            return str(image.info.get("parameters", ""))[:RECORD_LIMIT]
    except DAMAGED:
        return ""
