"""What mends a finding when its button is pressed; each can be taken back."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from lora_gui.errors import UserError
from lora_gui.studio.doctor import doctor, look, wording
from lora_gui.studio.doctor.finding import Line
from lora_gui.studio.paths import Studio
from lora_gui.studio.sandbox import picture_digest
from lora_gui.studio.things import masks, picture_index, pictures, set_changes
from lora_gui.studio.things.drawings import pixels
from lora_gui.studio.things.pictures import Picture, PictureSet

Contents = dict[str, bytes | Path | None]


def mend(studio: Studio, found: PictureSet, line: Line) -> None:
    """Do what the line's button says. Raises UserError where nothing can be done, or a run needs the pictures."""
    paths = {one.path for one in doctor.of_set(found) if one.file in line.files}

    def made() -> set_changes.Made:
        now = pictures.load(found.folder)
        says, contents = _ACTS[line.kind](now, [one for one in now.pictures if one.path in paths], line)
        if not contents:
            raise UserError("There is nothing left to mend here.", "It was done already.")
        if any(name.endswith(".png") for name in contents):
            pictures.require_free(studio, found.folder)
        return says, contents

    set_changes.make(found.folder, made)


def remove(found: PictureSet, meant: Sequence[Picture], line: Line | None = None) -> tuple[str, Contents]:
    """Without these pictures; they stay in the set's changes."""
    index = picture_index.read(found.folder)
    numbers = tuple(int(one.path.stem) for one in meant)
    contents: Contents = {name: None for one in meant for name in (one.path.name, f"{one.path.stem}.txt")}
    contents |= {mask.name: None for one in meant if (mask := masks.mask_of(found, one))}
    new = index.model_copy(update={"removed": tuple(sorted({*index.removed, *numbers}))})
    contents[picture_index.FILE] = picture_index.written(new)
    return f"{_counted(len(meant))} taken out.", contents if meant else {}


def _crop(found: PictureSet, meant: Sequence[Picture], line: Line) -> tuple[str, Contents]:
    """Without the borders."""
    index = picture_index.read(found.folder)
    digests, sizes, contents, count = list(index.digests), list(index.sizes), Contents(), 0
    for one in meant:
        picture = pixels(one.path)
        left, top, right, bottom = (side + (side > 0) for side in look.borders(picture))
        if left or top or right or bottom:
            box = (left, top, picture.width - right, picture.height - bottom)
            inside, count, number = picture.crop(box), count + 1, int(one.path.stem)
            contents |= {one.path.name: (data := _png(inside)), **masks.cropped(found, one, box)}
            if len(digests) >= number:
                digests[number - 1] = picture_digest.of(inside)
            if len(sizes) >= number:
                sizes[number - 1] = len(data)
    if contents:
        changed = {"digests": tuple(digests), "sizes": tuple(sizes)}
        contents[picture_index.FILE] = picture_index.written(index.model_copy(update=changed))
    return f"The borders of {count} {'picture' if count == 1 else 'pictures'} were cropped.", contents


def _rewritten(found: PictureSet, meant: Sequence[Picture], line: Line) -> tuple[str, Contents]:
    """Other captions, by the word that the finding names."""
    change = wording.CHANGES[line.kind]
    contents: Contents = {}
    for one in found.pictures:
        new = "\n".join(said for each in one.lines or (one.caption,) if (said := each and change(each, line.word)))
        if new != one.written:
            contents[f"{one.path.stem}.txt"] = new.encode("utf-8")
    return f"{len(contents)} {'caption was' if len(contents) == 1 else 'captions were'} changed.", contents


def _counted(count: int) -> str:
    return "1 picture was" if count == 1 else f"{count} pictures were"


def _png(picture: Image.Image) -> bytes:
    data = io.BytesIO()
    picture.save(data, "PNG", compress_level=1)
    return data.getvalue()


Act = Callable[[PictureSet, Sequence[Picture], Line], tuple[str, Contents]]
_ACTS: dict[str, Act] = {
    **dict.fromkeys(("same", "blurred", "outlier", "squeezed", "dark", "washed"), remove),
    "border": _crop,
    **dict.fromkeys(wording.CHANGES, _rewritten),
}
