"""Masks as they come: read as grey, brought to their picture's size, and found beside pictures that come in."""

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from PIL import Image

from lora_gui import files
from lora_gui.drive import folded
from lora_gui.errors import UserError
from lora_gui.formats import png as png_files
from lora_gui.protocol.jobs import mask_beside
from lora_gui.studio.sandbox import several
from lora_gui.studio.sandbox.picture_decode import DAMAGED
from lora_gui.studio.things.intake import Incoming
from lora_gui.studio.things.report import LeftOut, left_out
from lora_gui.studio.things.sorting import CONTROLS, FOLDERS, MASK, PICTURES

LARGEST = 40_000_000  # bytes of a mask that comes in, and
_MOST = 90_000_000  # pixels; a picture that comes in has no more
_OURS = mask_beside(Path("0")).stem[1:]  # how their names end here
_SAME_SHAPE = 0.02  # by which sides may differ from the picture's, once both have the same height
_Place = tuple[PurePosixPath, str]  # a folder, and the folded stem of a name in it


def beside(pictures: Sequence[Incoming], every: Sequence[Incoming]) -> dict[int, Incoming]:
    """The masks among all files that came, by the numbers of their pictures.

    They lie beside these and are called so, as OneTrainer's, or in a folder for masks under their very names, in or
    beside that of the pictures, where ai-toolkit, SimpleTuner and sd-scripts are told to look. Those that ai-toolkit
    has made itself lie among what it calls controls.
    """
    learnt, near, apart = {one.name for one in pictures}, dict[_Place, Incoming](), dict[_Place, Incoming]()
    images = (one for one in every if one.given and one.path.name and one.name.suffix.lower() in PICTURES)
    for one in sorted(images, key=lambda one: folded(one.name.stem).endswith(_OURS), reverse=True):
        stem, home = folded(one.name.stem), one.name.parent
        called = MASK.fullmatch(stem)
        if FOLDERS["mask"].fullmatch(folded(home.name)) or (called and home.name == CONTROLS):
            apart.setdefault((home.parent, called["of"] or stem if called else stem), one)
        elif called and called["of"] and one.name not in learnt:
            near.setdefault((home, called["of"]), one)
    places = [(one.name.parent, folded(one.name.stem)) for one in pictures]
    above = Counter((home.parent, stem) for home, stem in places)
    found = {}
    for n, place in enumerate(places):
        up = (place[0].parent, place[1])
        found[n] = near.get(place) or apart.get(place) or (apart.get(up) if above[up] == 1 else None)
    return {n: one for n, one in found.items() if one is not None}


def take(folder: Path, stored: Sequence[int], came: dict[int, Incoming]) -> tuple[set[str], list[LeftOut]]:
    """Keep the masks of the pictures that were `stored`; the names of those that were, and what cannot be used."""
    pairs = [(folder / f"{at:04}.png", came[n]) for at, n in enumerate(stored, start=1) if n in came]
    kept, left = set[str](), list[LeftOut]()
    answers = several.decoded([mask for _, mask in pairs], lambda one, mask: one.decode(mask.path, "black", True))
    for (picture, mask), decoded in zip(pairs, answers, strict=True):
        try:
            if isinstance(decoded, UserError):
                raise decoded
            if data := fitted(decoded.data, picture):
                files.write_bytes(mask_beside(picture), data)
            kept.add(str(mask.name))
        except UserError as error:
            left.append(left_out(PurePosixPath(mask.name), "mask", mask.in_words(f"{error.what} {error.remedy}")))
    return kept, left


def fitted(png: bytes, picture: Path) -> bytes:
    """A mask as it is kept for a picture: grey, of its size; empty where it is white all over, and so is none.

    Raises UserError where it cannot be used.
    """
    size = png_files.size(picture)
    if size is None:
        raise UserError(f"The picture {picture.name} cannot be read.", "Add it again, or leave it out.")
    mask = _opened(png, size)
    levels = mask.histogram()
    if levels[0] == sum(levels):
        what = "The mask has no white in it, so nothing of the picture would be learnt."
        raise UserError(what, "Paint what is to be learnt white, or take the picture out.")
    data = io.BytesIO()
    mask.save(data, "PNG", compress_level=3)
    return b"" if levels[255] == sum(levels) else data.getvalue()


def _opened(png: bytes, wanted: tuple[int, int]) -> Image.Image:
    """Grey, of the size that is wanted. Raises UserError where it is no such mask."""
    try:
        if len(png) > LARGEST:
            raise ValueError("too large")
        with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
            if image.width * image.height > _MOST:
                raise ValueError("too many pixels")
            mask = image.convert("RGBA")
    except DAMAGED:
        raise UserError("The mask is no PNG that can be read.", "Paint it again, or save it as PNG.") from None
    ground = Image.new("RGBA", mask.size, "black")
    ground.alpha_composite(mask)
    if abs(mask.width * wanted[1] / (mask.height * wanted[0]) - 1) > _SAME_SHAPE:
        told = f"The mask is {mask.width} x {mask.height}, and the picture {wanted[0]} x {wanted[1]}."
        raise UserError(told, "A mask has the shape of its picture.")
    grey = ground.convert("L")
    return grey if grey.size == wanted else grey.resize(wanted, Image.Resampling.BILINEAR)
