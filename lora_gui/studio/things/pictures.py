"""Picture sets and their captions: strangers' files come in, upright RGB copies of our own making are what is kept."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from send2trash import send2trash

import lora_gui
from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.formats.header import plain
from lora_gui.studio.paths import Studio, new_id
from lora_gui.studio.sandbox.picture_sandbox import Decoder
from lora_gui.studio.tasks.launching import all_runs
from lora_gui.studio.tasks.run import Run
from lora_gui.studio.things import picture_index
from lora_gui.studio.things.names import clean_caption, read_text
from lora_gui.studio.things.picture_index import MOST

EXAMPLES = Path(lora_gui.__file__).parent / "starter" / "examples"
FIRST = 4  # pictures that stand for a set in a list
CAPTION_SUFFIXES = (".txt", ".caption")
# Files that stand beside pictures and are not meant as one; passed over in a folder without a word.
BESIDE = {*CAPTION_SUFFIXES, ".json", ".jsonl", ".csv", ".md", ".toml", ".yaml", ".npz", ".safetensors", ".ini", ".db"}
DROP = "Drop some PNG, JPEG or WebP pictures, or a folder with them."


@dataclass(frozen=True)
class Picture:
    """`label` is the name of the file it came from."""

    path: Path
    caption: str
    label: str


@dataclass(frozen=True)
class PictureSet:
    """`notes` are sentences about what was done to the pictures when they came in."""

    folder: Path
    title: str
    pictures: tuple[Picture, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SetSummary:
    """A picture set in a list; `problem` says what is wrong with one that cannot be used any more."""

    folder: Path
    title: str
    count: int  # pictures
    captions: int  # of them that have one
    size: int  # bytes
    made: str  # when, as ISO text
    used_by: tuple[str, ...] = ()  # names of the LoRAs whose runs learn from it, each run once
    first: tuple[Path, ...] = ()  # its first pictures
    problem: str = ""


def import_pictures(studio: Studio, sources: Sequence[Path]) -> tuple[PictureSet, list[str]]:
    """Copy every usable picture of `sources`, files and folders, into a new set; and a sentence for each refused file.

    Captions come from a .txt beside a picture, or of its name among `sources`. Raises UserError if none is usable.
    """
    sources = [Path(source) for source in sources]
    found, texts = _collect(sources)
    if not found:
        raise _nothing(sources)
    files.sweep(studio.pictures)
    partial = files.half_made(studio.pictures / "new")  # what is cut short is no set, and swept away
    try:
        labels, notes, refused = _fill(partial, found, texts)
        if not labels:
            many = f"None of the {len(found)} files is a usable picture. {refused[0]}"
            raise UserError(many if len(found) > 1 else refused[0], DROP)
        alone = sources[0].name if sources[0].is_dir() else sources[0].stem
        title = plain(alone) if len(sources) == 1 else f"{len(labels)} pictures"
        picture_index.write(partial, title, labels, notes)
        folder = studio.pictures / new_id(studio.pictures)
        files.move(partial, folder)
    except UserError:
        files.remove_folder(partial)
        raise
    return load(folder), refused


def _fill(folder: Path, found: list[Path], texts: dict[str, Path]) -> tuple[list[str], list[str], list[str]]:
    """Decode and store the pictures; labels and notes of those that came in, and a sentence for each other."""
    labels: list[str] = []
    notes: list[str] = []
    refused: list[str] = []
    with Decoder() as decoder:
        for source in found:
            try:
                data, remarks = decoder.decode(source)
            except UserError as error:
                refused.append(plain(f"{error.what} {error.remedy}"))
                continue
            notes += _store(folder / f"{len(labels) + 1:04}.png", data, source, texts)
            notes += map(plain, remarks)
            labels.append(plain(source.name)[:200])
    return labels, notes, refused


def load(folder: Path) -> PictureSet:
    """Read a set of the studio again. Raises UserError where it is not there any more or its list is damaged."""
    index = picture_index.read(folder)
    pictures: list[Picture] = []
    notes = list(index.notes)
    for number, label in enumerate(index.labels, start=1):
        path, caption = folder / f"{number:04}.png", ""
        if not path.is_file():
            continue
        try:
            caption = read_text(path.with_suffix(".txt"))
        except UserError as error:  # deleted, or no text any more
            notes.append(f"{error.what} {error.remedy}")
        pictures.append(Picture(path, caption, label))
    return PictureSet(folder, index.title, tuple(pictures), tuple(notes))


def picture_sets(studio: Studio) -> list[Path]:
    """The folders of all sets, the newest first; what is still being made begins with a dot."""
    there = studio.pictures.iterdir() if studio.pictures.is_dir() else ()
    return sorted((path for path in there if path.is_dir() and not path.name.startswith(".")), reverse=True)


def sets(studio: Studio) -> list[SetSummary]:
    """Every set in short, the newest first; no picture is opened. A damaged one has a `problem`."""
    used = _uses(studio)
    found = []
    for folder in picture_sets(studio):
        names = tuple(job_name for _, job_name in used.get(folder.name, ()))
        try:
            found.append(replace(_summary(folder), used_by=names))
        except OSError:  # deleted a moment ago
            continue
    return found


def delete_set(studio: Studio, folder: Path) -> None:
    """Move a set to the system's bin. Raises UserError while a run that is not finished learns from it."""
    place = studio.pictures / folder.name
    if place not in picture_sets(studio):
        raise UserError(f"There is no picture set {folder.name!r}.", "Choose one of those that are listed.")
    for run, name in _uses(studio).get(place.name, ()):
        if run.summary().state != "finished":
            what = f"The training of {name} ({run.folder.name}) learns from these pictures and is not finished."
            raise UserError(what, "Let it come to its end, or delete that run first.")
    try:
        send2trash(place)
    except OSError:
        raise UserError("These pictures could not be moved to the bin.", f"Delete {place} by hand.") from None


def set_captions(pictures: PictureSet, captions: Sequence[str]) -> PictureSet:
    """The same set with these captions, one for each picture in order, written beside the pictures."""
    changed = []
    for picture, caption in zip(pictures.pictures, captions, strict=True):
        caption = clean_caption(caption)
        if caption != picture.caption:
            files.write_text(picture.path.with_suffix(".txt"), caption)
        changed.append(replace(picture, caption=caption))
    return replace(pictures, pictures=tuple(changed))


def examples() -> dict[str, Path]:
    """The example pictures that ship with the app: preset key to folder."""
    if not EXAMPLES.is_dir():
        return {}
    return {folder.name: folder for folder in sorted(EXAMPLES.iterdir()) if any(folder.glob("*.png"))}


def _collect(sources: Sequence[Path]) -> tuple[list[Path], dict[str, Path]]:
    """The files that may be pictures, and caption files that were given by themselves, by the name they share."""
    found: list[Path] = []
    texts: dict[str, Path] = {}
    for source in sources:
        if not os.path.exists(source):  # also where the name is one that no disk takes
            raise UserError(f"{source} is not there.", "Check the path.")
        if source.is_dir():
            found += _inside(source)
        elif source.suffix.lower() in CAPTION_SUFFIXES:
            texts[source.stem] = source
        else:
            found.append(source)
    if len(found) > MOST:
        raise UserError(
            f"These are {len(found)} files.", f"Choose at most {MOST}; 10 to 50 pictures are enough for a LoRA."
        )
    return found, texts


def _inside(folder: Path) -> list[Path]:
    """The files in a folder and those below it that may be pictures; what is hidden is not meant."""
    try:
        inside = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.suffix.lower() not in BESIDE]
    except OSError as error:
        raise UserError(f"{folder.name} could not be read ({error.strerror}).", "Check the folder.") from None
    return [p for p in inside if not any(part.startswith((".", "__MACOSX")) for part in p.relative_to(folder).parts)]


def _nothing(sources: Sequence[Path]) -> UserError:
    if not sources:
        return UserError("There are no pictures.", DROP)
    return UserError(f"There are no pictures in {sources[0].name}.", DROP)


def _store(path: Path, data: bytes, source: Path, texts: dict[str, Path]) -> list[str]:
    """Write a picture and the caption that came with it; a sentence where that caption is none."""
    caption, notes = "", []
    beside = (source.with_suffix(suffix) for suffix in CAPTION_SUFFIXES)
    text = next((p for p in beside if os.path.isfile(p)), texts.get(source.stem))
    if text:
        try:
            caption = read_text(text)
        except UserError as error:
            notes.append(plain(f"{error.what} {error.remedy}"))
    files.write_bytes(path, data)
    files.write_text(path.with_suffix(".txt"), caption)
    return notes


def _summary(folder: Path) -> SetSummary:
    """Raises OSError where the set was deleted a moment ago."""
    sizes = {path.name: path.lstat().st_size for path in folder.iterdir()}
    there = sorted(name for name in sizes if name.endswith(".png"))
    captions = sum(sizes.get(f"{name[:-4]}.txt", 0) > 0 for name in there)
    index = folder / picture_index.FILE
    made = (index if index.name in sizes else folder).lstat().st_mtime
    try:
        title, problem = picture_index.read(folder).title, ""
    except UserError as error:
        title, problem = folder.name, f"{error.what} {error.remedy}"
    when, first = f"{datetime.fromtimestamp(made):%Y-%m-%dT%H:%M:%S}", tuple(folder / name for name in there[:FIRST])
    return SetSummary(folder, title, len(there), captions, sum(sizes.values()), when, (), first, problem)


def _uses(studio: Studio) -> dict[str, list[tuple[Run, str]]]:
    """The runs that learn from each set, by the name of its folder, with the names of their LoRAs."""
    found: dict[str, list[tuple[Run, str]]] = {}
    homes = {studio.pictures.absolute(), studio.pictures.resolve()}  # older versions wrote down the latter
    for run in all_runs(studio):
        try:
            job = run.job
        except files.STRANGE:  # a damaged run, which the list of runs speaks of
            continue
        for folder in {Path(picture.path).parent for picture in job.pictures}:
            if folder.parent in homes:
                found.setdefault(folder.name, []).append((run, job.name))
    return found
