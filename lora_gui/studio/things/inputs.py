"""Pictures that a drawing begins with, and their masks: decoded in the sandbox, brought to size, and kept."""

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageOps

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.formats import png
from lora_gui.settings import DrawSettings
from lora_gui.studio.paths import Studio
from lora_gui.studio.sandbox.picture_sandbox import Decoder

_FOLDER = "begun-with"
_TAKEN = "form-"  # how the names begin of pictures that no drawing has begun with yet


def folder(studio: Studio) -> Path:
    """Where they lie, named by what is in them, so that a drawing can be made again."""
    return studio.drawings / _FOLDER


def found(studio: Studio, name: str) -> str:
    """The path of the picture that a drawing's record calls `name`; empty where it is none or not there any more."""
    path = folder(studio) / Path(name).name
    return str(path) if name and path.is_file() else ""


def size_of(studio: Studio, name: str) -> tuple[int, int] | None:
    """Width and height in px of a picture that was taken; None where it is none or not there any more."""
    return png.size(folder(studio) / Path(name).name)


class Taken(NamedTuple):
    """A picture that a form begins with: its name for `found`, its width and height in px, what is to be said of it."""

    name: str
    size: tuple[int, int]
    notes: list[str]


def take(studio: Studio, path: Path, instead_of: str = "", over: str = "") -> Taken:
    """Keep a picture that a form shall begin with, or a mask that lies `over` it, in place of one taken before.

    Raises UserError where it cannot be used.
    """
    with Decoder() as decoder:
        decoded = decoder.decode(path, is_mask=bool(over))
    with _image(decoded.data) as image:
        taken = Taken(Path(_kept(studio, image, _TAKEN)).name, image.size, decoded.notes)
    if taken.name != instead_of:
        forget(studio, instead_of)
    if over and size_of(studio, over) != taken.size:
        taken.notes.append(f"The mask is {_told(taken.size)}; it is stretched over the whole picture.")
    return taken


def forget(studio: Studio, name: str) -> None:
    """Remove a picture that a form began with; those that drawings began with stay."""
    if name.startswith(_TAKEN) and (path := found(studio, name)):
        files.remove(Path(path))


def size(path: Path) -> tuple[int, int]:
    """Width and height of a picture in px, upright. Raises UserError where it cannot be used."""
    with Decoder() as decoder, _image(decoder.decode(path).data) as image:
        return image.size


def prepared(studio: Studio, settings: DrawSettings) -> tuple[DrawSettings, list[str]]:
    """The settings with copies of their pictures that are as large as the drawing, and what was made of them.

    Raises UserError where a picture cannot be used, or a mask has none to lie over.
    """
    if settings.mask and not settings.picture:
        raise UserError("A mask needs a picture to lie over.", "Choose a picture to begin with.")
    if not settings.picture:
        return settings, []
    wanted, notes = (settings.width, settings.height), list[str]()
    with Decoder() as decoder:
        decoded = decoder.decode(Path(settings.picture))
        notes += decoded.notes
        with _image(decoded.data) as picture:
            changed = {"picture": _kept(studio, _fitted(picture, wanted, notes))}
            if settings.mask:
                with _image(decoder.decode(Path(settings.mask), is_mask=True).data) as mask:
                    changed["mask"] = _kept(studio, _mask(mask, picture.size, wanted, notes))
    return settings.model_copy(update=changed), notes


def _fitted(picture: Image.Image, wanted: tuple[int, int], notes: list[str]) -> Image.Image:
    """As large as the drawing: scaled until it fills it, and cut evenly on both sides."""
    if picture.size == wanted:
        return picture
    said = f"The picture of {_told(picture.size)} was brought to the drawing's {_told(wanted)}"
    cut = picture.width * wanted[1] != picture.height * wanted[0]
    notes.append(f"{said}, and cut where it has another shape." if cut else f"{said}.")
    return ImageOps.fit(picture, wanted, Image.Resampling.LANCZOS)


def _mask(mask: Image.Image, over: tuple[int, int], wanted: tuple[int, int], notes: list[str]) -> Image.Image:
    """Laid over the whole picture, then brought to size as that was; black and white. Raises UserError where black."""
    if mask.size != over:
        notes.append(f"The mask of {_told(mask.size)} was stretched over the picture of {_told(over)}.")
        mask = mask.resize(over, Image.Resampling.BILINEAR)
    grey = ImageOps.fit(mask.convert("L"), wanted, Image.Resampling.BILINEAR)
    plain = grey.point(lambda value: 255 if value >= 128 else 0)
    if plain.getbbox() is None:
        what = "The mask has no white in it, so nothing would be drawn anew."
        raise UserError(what, "Paint what is to change white.")
    return plain


def _kept(studio: Studio, image: Image.Image, kind: str = "") -> str:
    data = io.BytesIO()
    image.save(data, "PNG", compress_level=3)
    digest = hashlib.sha256(image.mode.encode() + image.tobytes()).hexdigest()
    path = folder(studio) / f"{kind}{digest[:32]}.png"
    if not path.is_file():
        files.make_folder(path.parent)
        files.write_bytes(path, data.getvalue())
    return str(path)


@contextmanager
def _image(data: bytes) -> Iterator[Image.Image]:
    """What the sandbox gave, which is a plain PNG of its own making."""
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        yield image


def _told(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
