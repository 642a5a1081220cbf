"""The mask of a picture, `0001-masklabel.png` beside `0001.png`: white is learnt, black hardly or not at all.

The name is that of OneTrainer, whose grey levels also mean this, so that other programs read a set's masks as they are.
"""

import io
from pathlib import Path

from lora_gui import files
from lora_gui.protocol.jobs import mask_beside
from lora_gui.settings import TrainSettings
from lora_gui.studio.things import mask_files, set_changes
from lora_gui.studio.things.drawings import pixels
from lora_gui.studio.things.pictures import Picture, PictureSet


def mask_of(found: PictureSet, picture: Picture) -> Path | None:
    """The mask of a picture of a set, a grey PNG as large as the picture; None where it has none."""
    path = mask_beside(found.folder / picture.path.name)
    return path if path.is_file() else None


def unused(found: PictureSet, settings: TrainSettings) -> str:
    """That the pictures have masks which are not learnt by, in a sentence; empty where none has, or they are."""
    many = sum(mask_of(found, one) is not None for one in found.pictures)
    if not many or settings.masked_loss:
        return ""
    whose = "The mask of 1 picture is" if many == 1 else f"The masks of {many} pictures are"
    return f"{whose} not looked at: Learn by masks is off."


def put_mask(found: PictureSet, picture: Picture, png: bytes) -> None:
    """Keep a mask for a picture, in place of one it has; that can be taken back. One that is white all over is none.

    `png` is grey, or coloured and read as grey; where it is transparent it is black. It has the picture's shape, and
    is brought to its size. Raises UserError where it cannot be used, or the disk refuses.
    """
    data = mask_files.fitted(png, picture.path)
    there = mask_of(found, picture)
    if not data:
        remove_mask(found, picture)
    elif there is None or files.read_small(there, mask_files.LARGEST) != data:
        set_changes.do(found.folder, f"A mask was put on {picture.label}.", {_name(picture): data})


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
    pixels(path).convert("L").crop(box).save(data, "PNG", compress_level=3)
    return {path.name: data.getvalue()}


def _name(picture: Picture) -> str:
    return mask_beside(picture.path).name
