"""What the user notes of a LoRA: never in its file, so that giving the file away gives nothing of this away.

Each LoRA's notes are a file of their own, called as the LoRA is. They know the LoRA by its weights too: where its file
was renamed by hand, they follow it.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio
from lora_gui.studio.things.names import clean_caption

LONGEST, MOST_TAGS, LONGEST_TAG = 4000, 20, 40  # characters of notes, tags, characters of a tag


class Notes(BaseModel):
    """What is noted of one LoRA."""

    model_config = ConfigDict(extra="allow", frozen=True)  # what a newer app notes stays

    text: str = Field("", max_length=LONGEST)
    tags: tuple[str, ...] = Field((), max_length=MOST_TAGS)
    star: bool = False
    run: str = ""  # the folder name of the run that made it
    step: int = 0  # of that run, where it is not what the run ended with
    came: str = ""  # when it came to be here, as ISO text; its file changes with every edit of its metadata
    formerly: tuple[str, ...] = ()  # the names it had
    digest: str = ""  # its sshs_model_hash, by which it is found again under another name


PLAIN = Notes()  # type: ignore[call-arg]


def place(studio: Studio, name: str) -> Path:
    """Where the notes of the LoRA called `name` lie."""
    return studio.library / f"{name}.json"


def read(path: Path) -> Notes:
    """The notes in a file; none where it is missing or damaged."""
    try:
        return Notes.model_validate_json(files.read_small(path))
    except (OSError, ValueError, ValidationError, RecursionError):
        return PLAIN


def of(studio: Studio, name: str) -> Notes:
    """The notes of the LoRA called `name`."""
    return read(place(studio, name))


def change(studio: Studio, name: str, **changes: object) -> Notes:
    """Put these in place of what is noted. Raises UserError where it is too much or the disk refuses."""
    now = of(studio, name)
    try:
        changed = Notes.model_validate({**now.model_dump(), **changes})
    except ValidationError:
        what = f"Notes hold {LONGEST:,} characters and {MOST_TAGS} tags."
        raise UserError(what, "Write less.") from None
    if changed != now:
        files.write_text(place(studio, name), changed.model_dump_json(indent=1, exclude_defaults=True))
    return changed


def tags(text: str) -> tuple[str, ...]:
    """The tags in what was typed: between commas, each once. Raises UserError where one is too long."""
    found = dict.fromkeys(map(clean_caption, text.split(",")))
    for tag in found:
        if len(tag) > LONGEST_TAG:
            raise UserError(f"The tag {tag[:20]}... is too long.", f"Use at most {LONGEST_TAG} characters.")
    return tuple(tag for tag in found if tag)


def follow(studio: Studio, names: dict[str, str]) -> None:
    """Let notes go along with LoRAs that were renamed by hand; `names` holds of each LoRA its name and digest."""
    there = {path.stem for path in studio.library.glob("*.json")}
    lost = {name: of(studio, name) for name in there - names.keys()}
    by_digest = {noted.digest: name for name, noted in lost.items() if noted.digest}
    for name, digest in names.items():
        if name not in there and (old := by_digest.pop(digest, "") if digest else ""):
            with contextlib.suppress(UserError):  # a full disk; it is tried again the next time
                rename(studio, old, name)


def rename(studio: Studio, old: str, new: str) -> None:
    """Let the notes of a LoRA go along with its new name, and note the old one."""
    noted = of(studio, old)
    formerly = tuple(dict.fromkeys((*(one for one in noted.formerly if one != new), old)))
    changed = noted.model_copy(update={"formerly": formerly[-20:]})
    if place(studio, old).is_file():  # moved first: where a drive tells no capitals, both are one file
        files.move(place(studio, old), place(studio, new))
    files.write_text(place(studio, new), changed.model_dump_json(indent=1, exclude_defaults=True))
