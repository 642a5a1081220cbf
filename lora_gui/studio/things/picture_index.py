"""The list of a picture set, `set.json` in its folder: what it and its pictures are called, and what was done to them.

It carries a sum, by which damage is found; sets of older versions have none. What a later version adds is passed over.
"""

import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.protocol.jobs import Crop
from lora_gui.studio.things.report import LeftOut

FILE = "set.json"
MOST = 5000  # pictures in one set
_UNNAMED = re.compile(r"\d+ pictures?")  # the title of what came without a name
_LIMIT = 32 << 20  # bytes; a full set with a remark on each of its pictures, and much left out, takes half of it


MOST_REPEATS = 999  # as many as kohya's folders can say
Repeats = Annotated[int, Field(ge=1, le=MOST_REPEATS)]


class Index(BaseModel):
    """`labels` are the names of the files that the pictures came from; `notes` say what was done to them.

    `repeats` say how often each counts, where they do not all count once; `left` which files were not used.
    """

    model_config = ConfigDict(frozen=True)

    version: int = 0
    title: str
    labels: tuple[str, ...] = Field(max_length=MOST)
    notes: tuple[str, ...] = ()
    repeats: tuple[Repeats, ...] = ()
    digests: tuple[str, ...] = ()  # of their pixels
    sizes: tuple[int, ...] = ()  # of their files, in bytes, 0 where not known: one replaced by hand has another
    opted_out: tuple[int, ...] = ()  # numbers of those whose file said that it may not be learnt from
    left: tuple[LeftOut, ...] = ()
    removed: tuple[int, ...] = ()  # numbers of those that were taken out, and can be put back
    crops: dict[int, Crop] = {}  # by number, of those that are not cropped in the middle
    sha256: str = ""  # of all the rest

    def counts(self) -> list[int]:
        """How often each counts."""
        return [*self.repeats, *[1] * (len(self.labels) - len(self.repeats))]

    def called(self, count: int) -> str:
        """What a set of `count` pictures is called; one without a name by how many it has now."""
        return f"{count} {'picture' if count == 1 else 'pictures'}" if _UNNAMED.fullmatch(self.title) else self.title


def repeats(counts: Sequence[int]) -> tuple[int, ...]:
    """How often each counts as it stands in the list: not at all where all count once."""
    return tuple(counts) if max(counts, default=1) > 1 else ()


def write(folder: Path, index: Index) -> None:
    """Write the list last: a folder without it is no set. Raises UserError where the disk refuses."""
    files.write_bytes(folder / FILE, written(index))


def written(index: Index) -> bytes:
    """The list as it stands in its file."""
    said = index.model_dump(mode="json", exclude={"sha256"}) | {"version": 1}
    return json.dumps(said | {"sha256": _sum(said)}, indent=1, ensure_ascii=False).encode("utf-8", "replace")


def read(folder: Path) -> Index:
    """The list of a set. Raises UserError where there is none or it is damaged."""
    if not os.path.exists(folder / FILE):  # also where the name is one that no disk takes
        raise UserError("These pictures are not in your studio any more.", "Choose them again.")
    try:
        return Index.model_validate_json(files.read_small(folder / FILE, _LIMIT))
    except (OSError, ValueError):
        raise _damaged(folder) from None


def check(folder: Path) -> None:
    """Raises UserError where a list is not as it was written, or names pictures that are gone."""
    index = read(folder)
    expected = _sum(files.read_json(folder / FILE, _LIMIT)) if index.version or index.sha256 else ""
    if index.sha256 != expected:
        raise _damaged(folder)
    numbers = set(range(1, len(index.labels) + 1)) - set(index.removed)
    missing = [n for n in sorted(numbers) if not (folder / f"{n:04}.png").is_file()]
    if missing:
        raise UserError(f"{len(missing)} pictures of this set are missing.", "Add them again where you need them.")


def _damaged(folder: Path) -> UserError:
    remedy = f"Add the folder {folder} as new pictures: what is in it comes in again, with its captions."
    return UserError("The list of this picture set is damaged.", remedy)


def _sum(said: dict[str, Any]) -> str:
    """sha256 of everything in a list but the sum itself."""
    rest = {key: value for key, value in said.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode("utf-8")).hexdigest()
