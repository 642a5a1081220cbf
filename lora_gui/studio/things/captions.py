"""Which caption belongs to which picture; what is not certain is said and not guessed."""

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from lora_gui.drive import folded
from lora_gui.errors import UserError
from lora_gui.studio.things import caption_files
from lora_gui.studio.things.caption_files import Said
from lora_gui.studio.things.intake import Incoming
from lora_gui.studio.things.picture_names import PictureNames
from lora_gui.studio.things.report import CAPTION, PICTURELESS, LeftOut, left_out
from lora_gui.studio.things.sorting import PICTURES, TAGS, TEXTS

NOBODY = "captions without a picture of their name"
SEVERAL = "captions that could belong to several pictures, and are given to none"
OUTDONE = "captions of a picture that has one that fits better"
NOTHING = "no caption was found in these"


class _Found(NamedTuple):
    """A caption that may be a picture's."""

    file: int  # number of its file among the captions
    where: str  # as that is called in a sentence
    said: Said
    near: tuple[bool, bool, bool]  # its place, letter by letter, with its suffix where that matters


class Captions:
    """The captions of pictures: `texts` has one for each, empty where there is none.

    `emptied` are the numbers of those that came with a caption file which is empty.
    """

    def __init__(self, pictures: Sequence[Incoming], captions: Sequence[Incoming], loose: bool) -> None:
        """Read them all. `loose`: the folders mean nothing, so that a name alone may do."""
        self._names = PictureNames([picture.name for picture in pictures], loose)
        self._captions = captions
        self._found: list[list[_Found]] = [[] for _ in pictures]
        self._left: list[LeftOut] = []
        self._settled: set[int] = set()  # files that `_left` speaks of, and those that are empty
        self._drawn = 0  # texts that say how their picture was drawn
        self.emptied: set[int] = set()
        for number, caption in enumerate(captions):
            try:
                self._read(number, caption)
            except UserError as error:
                if caption.given or self._names.of_caption(caption.name):
                    why = caption.in_words(f"{error.what} {error.remedy}")
                    self._leave(number, str(caption.name), why)
        self._sources: list[set[int]] = []  # for each picture the files that its caption stands in
        self.texts = [self._chosen(picture, found) for picture, found in zip(pictures, self._found, strict=True)]
        self.remarks = self._shared() + self._several()

    def unused(self, stored: Iterable[int]) -> list[LeftOut]:
        """The captions that came to nothing, once it is known which pictures are `stored`."""
        nothing: set[int] = set()
        used = nothing.union(*(self._sources[number] for number in stored))
        refused = nothing.union(*self._sources) - used
        seen = {one.file for found in self._found for one in found}
        left = list(self._left)
        for number, caption in enumerate(self._captions):
            if caption.given and number not in used | self._settled:
                why = PICTURELESS if number in refused else OUTDONE if number in seen else NOBODY
                left.append(left_out(caption.name, CAPTION, why))
        return left

    def _shared(self) -> list[str]:
        """A sentence for each file that is the caption of several pictures."""
        owners: dict[str, dict[str, None]] = {}
        for name, found, sources in zip(self._names.names, self._found, self._sources, strict=True):
            for one in found:
                if one.file in sources and one.where == str(self._captions[one.file].name):
                    owners.setdefault(one.where, {})[str(name)] = None
        return [
            f"{where} is the caption of {' and '.join(names)}." for where, names in owners.items() if len(names) > 1
        ]

    def _several(self) -> list[str]:
        """A sentence for each table that has several captions of a picture, and one for texts that say more."""
        counts: dict[int, int] = {}
        for text, found, sources in zip(self.texts, self._found, self._sources, strict=True):
            tables = {one.file for one in found if one.where != str(self._captions[one.file].name)} & sources
            for file in tables if "\n" in text else ():
                counts[file] = counts.get(file, 0) + 1
        prompts = [f"Texts that say how their picture was drawn, of which the prompt is the caption: {self._drawn}."]
        return (prompts if self._drawn else []) + [
            f"{self._captions[file].name} has several captions of {count} {'picture' if count == 1 else 'pictures'}. "
            "They are learnt as one, or in turn where Each line is a caption is on."
            for file, count in counts.items()
        ]

    def _leave(self, number: int, where: str, why: str) -> None:
        self._left.append(left_out(where, CAPTION, why))
        self._settled.add(number)

    def _read(self, number: int, caption: Incoming) -> None:
        """Give what one file says to the pictures it speaks of. Raises UserError where it cannot be read."""
        name, suffix = caption.name, caption.name.suffix.lower()
        owners = self._names.of_caption(name)
        said: list[Said] = []
        if owners and suffix in TEXTS:
            text, drawn = caption_files.of_text(caption.path)
            said, self._drawn = [Said(text, suffix in TAGS)], self._drawn + drawn
        elif owners and suffix == ".json":
            said = caption_files.of_one(caption.path)
        if said:
            self._give(number, str(name), name.stem, said, owners)
        elif not (owners and suffix in TEXTS):
            self._read_table(number, caption, bool(owners))

    def _read_table(self, number: int, caption: Incoming, beside: bool) -> None:
        """Give each row to its picture; `beside` where the file has the name of one itself."""
        name, rows, nobody = caption.name, caption_files.rows(caption.path), []
        for row in rows:
            owners, placed = self._names.of_row(row.picture, name)
            if owners:
                called = row.picture.replace("\\", "/").rsplit("/", 1)[-1]
                self._give(number, f"{name} ({row.picture})", called, row.said, owners, placed)
            else:
                nobody.append(row.picture)
        if not caption.given:
            return
        if len(nobody) < len(rows):
            self._left += [left_out(f"{name} ({picture})", CAPTION, NOBODY) for picture in nobody]
            return
        of_pictures = any(PurePosixPath(picture).suffix.lower() in PICTURES for picture in nobody)
        if name.suffix.lower() in TEXTS and not rows:
            return  # a caption of nobody
        if of_pictures or beside or name.suffix.lower() != ".json" or folded(name.stem) == "metadata":
            self._leave(number, str(name), NOBODY if of_pictures else NOTHING)
        else:
            self._left.append(left_out(name, "other"))
            self._settled.add(number)

    def _give(
        self, number: int, where: str, called: str, said: Sequence[Said], owners: Sequence[int], placed: bool = True
    ) -> None:
        """Note a caption at the picture that owns it; at several only where these differ in their suffix alone."""
        said, certain = [one for one in said if one.text], len(owners) == 1 or self._names.are_twins(owners)
        if not said:
            self._settled.add(number)
            self.emptied.update(owners if certain else ())
        elif not certain:
            self._leave(number, where, SEVERAL)
        else:
            for owner in owners:
                name = self._names.names[owner]
                whole = self._names.twins(owner) > 1 and folded(called) == folded(name.name)
                near = (placed, called in (name.name, name.stem), whole)
                self._found[owner] += [_Found(number, where, one, near) for one in said]

    def _chosen(self, picture: Incoming, found: list[_Found]) -> str:
        """A picture's caption. Where several differ and nothing tells them apart it has none, and that is said."""
        nearest = [one for one in found if one.near == max(other.near for other in found)]
        sentences = [one for one in nearest if not one.said.is_tags] or nearest
        texts = {one.said.text for one in sentences}
        if nearest and nearest[0].near[0]:
            self._left += [left_out(one.where, CAPTION, NOBODY) for one in found if not one.near[0]]
        self._sources.append({one.file for one in found if one.said.text in texts and len(texts) == 1})
        if len(texts) == 1:
            return texts.pop()
        if texts:
            places = list(dict.fromkeys(one.where for one in sentences))
            why = f"{picture.name} has different captions, in {' and in '.join(places)}, and is learnt without one."
            for one in dict.fromkeys((one.file, one.where) for one in sentences):
                self._leave(*one, why)
        return ""
