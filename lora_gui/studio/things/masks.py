"""The mask of a picture, `0001-masklabel.png` beside `0001.png`: white is learnt, black hardly or not at all.

The name is that of OneTrainer, whose grey levels also mean this, so that other programs read a set's masks as they are.
"""

import io
from pathlib import Path

from PIL import Image

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.formats import png as png_files
from lora_gui.protocol.jobs import mask_beside
from lora_gui.studio.things import set_changes
from lora_gui.studio.things.pictures import Picture, PictureSet

_LARGEST = 40_000_000  # bytes of a mask that comes in, and
_MOST = 90_000_000  # pixels; a picture that comes in has no more
_SAME_SHAPE = 0.02  # by which sides may differ from the picture's, once both have the same height
_DAMAGED = (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)


def mask_of(found: PictureSet, picture: Picture) -> Path | None:
    """The mask of a picture of a set, a grey PNG as large as the picture; None where it has none."""
    path = mask_beside(found.folder / picture.path.name)
    return path if path.is_file() else None


def put_mask(found: PictureSet, picture: Picture, png: bytes) -> None:
    """Keep a mask for a picture, in place of one it has; that can be taken back. One that is white all over is none.

    `png` is grey, or coloured and read as grey; where it is transparent it is black. It has the picture's shape, and
    is brought to its size. Raises UserError where it cannot be used, or the disk refuses.
    """
    size = png_files.size(picture.path)
    if size is None:
        raise UserError(f"The picture {picture.label} cannot be read.", "Add it again, or leave it out.")
    mask = _opened(png, size)
    levels = mask.histogram()
    if levels[0] == sum(levels):
        what = "The mask has no white in it, so nothing of the picture would be learnt."
        raise UserError(what, "Paint what is to be learnt white, or take the picture out.")
    if levels[255] == sum(levels):
        return remove_mask(found, picture)
    data = io.BytesIO()
    mask.save(data, "PNG", compress_level=3)
    if (there := mask_of(found, picture)) and files.read_small(there, _LARGEST) == data.getvalue():
        return None
    set_changes.do(found.folder, f"A mask was put on {picture.label}.", {_name(picture): data.getvalue()})
    return None


def remove_mask(found: PictureSet, picture: Picture) -> None:
    """Take a picture's mask away, so that all of it is learnt; that can be taken back."""
    if mask_of(found, picture):
        set_changes.do(found.folder, f"The mask of {picture.label} was taken away.", {_name(picture): None})


def cropped(found: PictureSet, picture: Picture, box: tuple[int, int, int, int]) -> set_changes.Contents:
    """What a picture's mask becomes when the picture is cropped to `box`; nothing where it has none."""
    path = mask_of(found, picture)
    if path is None:
        return {}
    data = io.BytesIO()
    with Image.open(path, formats=("PNG",)) as mask:
        mask.crop(box).save(data, "PNG", compress_level=3)
    return {path.name: data.getvalue()}


def _name(picture: Picture) -> str:
    return mask_beside(picture.path).name


def _opened(png: bytes, wanted: tuple[int, int]) -> Image.Image:
    """Grey, of the size that is wanted. Raises UserError where it is no such mask."""
    try:
        if len(png) > _LARGEST:
            raise ValueError("too large")
        with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
            if image.width * image.height > _MOST:
                raise ValueError("too many pixels")
            mask = image.convert("RGBA")
    except _DAMAGED:
        raise UserError("The mask is no PNG that can be read.", "Paint it again, or save it as PNG.") from None
    ground = Image.new("RGBA", mask.size, "black")
    ground.alpha_composite(mask)
    if abs(mask.width * wanted[1] / (mask.height * wanted[0]) - 1) > _SAME_SHAPE:
        told = f"The mask is {mask.width} x {mask.height}, and the picture {wanted[0]} x {wanted[1]}."
        raise UserError(told, "A mask has the shape of its picture.")
    grey = ground.convert("L")
    return grey if grey.size == wanted else grey.resize(wanted, Image.Resampling.BILINEAR)
