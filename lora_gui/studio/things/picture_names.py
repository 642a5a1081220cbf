"""Pictures by their names: which ones a caption file or a row of a table means."""

from collections.abc import Sequence
from pathlib import PurePosixPath

from lora_gui.drive import folded
from lora_gui.studio.things.intake import parts_of
from lora_gui.studio.things.sorting import PICTURES

CAPTION_FOLDERS = {
    "captions", "caption", "txt", "txts", "text", "texts", "labels", "tags", "prompts", "annotations", "json",
}  # fmt: skip
PICTURE_FOLDERS = {"images", "image", "img", "imgs", "pictures", "pics", "photos"}
Place = tuple[str, ...]  # the folders of a file, folded
_HERE, _MOVED, _ANYWHERE = range(3)  # in its own folders; without a folder `images`; wherever it is


class PictureNames:
    """`loose`: the folders mean nothing, so that a name alone may do."""

    def __init__(self, names: Sequence[PurePosixPath], loose: bool) -> None:
        self.names, self._loose = names, loose
        self._at: dict[tuple[int, Place, bool, str], list[int]] = {}  # the flag: as it is written, or folded
        for number, name in enumerate(names):
            place = _place(name)
            moved = _without(place, PICTURE_FOLDERS)
            places = [(_HERE, place), (_ANYWHERE, ())] + ([(_MOVED, moved)] if moved != place else [])
            for level, there in places:
                for written in (True, False):
                    keys = (name.name, name.stem) if written else (folded(name.name), folded(name.stem))
                    for key in set(keys):
                        self._at.setdefault((level, there, written, key), []).append(number)

    def of_caption(self, caption: PurePosixPath) -> list[int]:
        """The pictures that a caption file may belong to by its name: `a.txt` and `a.png.txt` to `a.png`."""
        place, stem = _place(caption), caption.stem
        home = _without(place, CAPTION_FOLDERS)
        if found := self._first([place, home], stem) or self._first([place, home], _converted(stem)):
            return found
        everywhere = self._at.get((_ANYWHERE, (), False, folded(stem)), [])
        if self._loose:
            return everywhere
        return [n for n in everywhere if home != place and _place(self.names[n])[: len(home)] == home]

    def of_row(self, row: str, table: PurePosixPath) -> tuple[list[int], bool]:
        """The pictures that a table means by `row`: a name, with or without folders and suffix.

        And whether that is their name and place, or their folders only agree as far as both go, as `/data/fox/a.png`
        and `a.png`, or they have another suffix now.
        """
        if not (parts := parts_of(row)):
            return [], False
        asked, beside = PurePosixPath(*parts), _place(table)
        wished, home = _place(asked), _without(beside, CAPTION_FOLDERS)
        if found := self._first([beside + wished, home + wished], asked.name):
            return found, True
        found = self._agreeing(asked.name, wished, home)
        stem = _converted(asked.name)
        return found or self._first([beside + wished, home + wished], stem) or self._agreeing(stem, wished, home), False

    def _agreeing(self, name: str, wished: Place, home: Place) -> list[int]:
        """Those of a name below `home` whose folders agree with those that are wished for, the furthest alone."""
        far: dict[int, list[int]] = {}
        for number in self._at.get((_ANYWHERE, (), False, folded(name)), []):
            there = _place(self.names[number])
            inside = there[len(home) :]
            short = min(len(inside), len(wished))
            if there[: len(home)] == home and inside[len(inside) - short :] == wished[len(wished) - short :]:
                far.setdefault(short, []).append(number)
        return far[max(far)] if far else []

    def twins(self, number: int) -> int:
        """How many pictures share its place and its name but for the suffix; itself is one."""
        name = self.names[number]
        return len(self._at[_HERE, _place(name), True, name.stem])

    def are_twins(self, numbers: Sequence[int]) -> bool:
        """Whether pictures differ in nothing but the suffix, so that one caption fits them all."""
        names = {self.names[number] for number in numbers}
        return len(names) == len(numbers) and len({name.with_suffix("") for name in names}) == 1

    def _first(self, places: Sequence[Place], key: str) -> list[int]:
        """Those of the nearest place, and there of the very name rather than of another case or Unicode form."""
        for place in places:
            for level in (_HERE, _MOVED):
                for written in (True, False):
                    if found := self._at.get((level, place, written, key if written else folded(key))):
                        return found
        return []


def _converted(name: str) -> str:
    """The name under which a picture would be found that has another suffix now; one without such a suffix is none."""
    path = PurePosixPath(name)
    return path.stem if path.suffix.lower() in PICTURES else ""


def _place(name: PurePosixPath) -> Place:
    return tuple(folded(part) for part in name.parts[:-1])


def _without(place: Place, folders: set[str]) -> Place:
    return tuple(part for part in place if part not in folders)
