"""The files that the captions of a folder stand in, so that none says another thing beside a new one."""

from pathlib import Path

from lora_gui.errors import UserError
from lora_gui.studio.things.caption_files import of_text
from lora_gui.studio.things.captions import Captions
from lora_gui.studio.things.intake import gather
from lora_gui.studio.things.picture_names import PictureNames
from lora_gui.studio.things.sorting import TEXTS, sort


class CaptionPlaces:
    """Those of any folder of pictures, as an import would find them."""

    def __init__(self, folder: Path) -> None:
        """Raises UserError as `gather` does."""
        there = gather([folder])
        pictures, captions, _ = sort(there.files)
        names = PictureNames([one.name for one in pictures], there.loose)
        self._new = {one.path: _new(one.path, names.twins(at) > 1) for at, one in enumerate(pictures)}
        self._texts: dict[Path, list[tuple[Path, str]]] = {one.path: [] for one in pictures}
        tables = []
        for caption in captions:
            owners = names.of_caption(caption.name) if caption.name.suffix.lower() in TEXTS else []
            for owner in owners:
                picture = pictures[owner].path
                own = caption.path if len(owners) == 1 else self._new[picture]  # not that of its twin, too
                self._texts[picture].append((own, _text(caption.path)))
            tables += [] if owners else [caption]
        paths = (one.path for one in pictures)
        self._tables = dict(zip(paths, Captions(pictures, tables, there.loose).texts, strict=True))

    def of(self, picture: Path, caption: str, replace: bool) -> list[Path]:
        """Where the caption of a picture stands, or would; none where a table says it or it is not to be replaced."""
        texts = [(path, said) for path, said in self._texts.get(picture, []) if said]
        table = self._tables.get(picture, "")
        here = [path for path, said in texts if said == caption or not caption]
        if table and caption in ("", table) or caption and not here or texts and not replace:
            return []
        return here or [self._new.get(picture) or _new(picture, False)]


def _new(picture: Path, has_twin: bool) -> Path:
    """The caption file of a picture that has none; with its suffix where another has the same name but for that."""
    return picture.with_name(f"{picture.name}.txt") if has_twin else picture.with_suffix(".txt")


def _text(path: Path) -> str:
    """What a file says as a caption; one that is no text says something that is not known."""
    try:
        return of_text(path)[0]
    except UserError:
        return "?"
