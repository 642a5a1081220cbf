"""Picture sets and their captions: strangers' files come in, upright RGB copies of our own making are what is kept."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from send2trash import send2trash

import lora_gui
from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.formats.header import plain
from lora_gui.framing import MIDDLE, Place
from lora_gui.protocol.jobs import TrainPicture, mask_beside
from lora_gui.studio.paths import Studio, new_id
from lora_gui.studio.tasks.launching import all_runs
from lora_gui.studio.tasks.run import Run
from lora_gui.studio.things import archives, mask_files, picture_index, recalled, report, set_changes
from lora_gui.studio.things.captions import Captions
from lora_gui.studio.things.filling import Filled, fill, require_colour
from lora_gui.studio.things.intake import Incoming, Intake, gather
from lora_gui.studio.things.names import read_lines
from lora_gui.studio.things.picture_index import MOST, Index
from lora_gui.studio.things.report import LeftOut, counted, details, left_out
from lora_gui.studio.things.sorting import repeated, repeats, sort

EXAMPLES = Path(lora_gui.__file__).parent / "starter" / "examples"
FIRST = 4  # pictures that stand for a set in a list
DROP = "Drop some PNG, JPEG or WebP pictures, or a folder with them."


@dataclass(frozen=True)
class Picture:
    """`label` is the name of the file it came from."""

    path: Path
    caption: str
    label: str
    repeats: int = 1  # how often it counts in a round
    digest: str = ""  # of its pixels; empty in sets that came in before there was one
    opted_out: bool = False  # whether its file said that it may not be learnt from
    crop: Place = MIDDLE  # what stays of it where it is cropped
    lines: tuple[str, ...] = ()  # of its caption file, where it has several; `caption` is all of them

    @property
    def written(self) -> str:
        """The caption as its file has it: with its lines, where it has several."""
        return "\n".join(self.lines) or self.caption

    def learnt(self) -> TrainPicture:
        """As a run is given it, with its mask if it has one."""
        mask = mask_beside(self.path)
        return TrainPicture(
            path=str(self.path.resolve()),
            caption=self.caption,
            captions=self.lines,
            repeats=self.repeats,
            digest=self.digest,
            mask=files.sha256(mask) if mask.is_file() else "",
            crop=self.crop,
        )


@dataclass(frozen=True)
class PictureSet:
    """`remarks` are sentences about what was done to the pictures when they came in, `left` what did not come in.

    `read` is when it was begun to be read, in seconds: what was changed since then may not be in it.
    """

    folder: Path
    title: str
    pictures: tuple[Picture, ...]
    remarks: tuple[str, ...] = ()
    left: tuple[LeftOut, ...] = ()
    read: float = field(default=0.0, compare=False)

    @property
    def sentence(self) -> str:
        """How many pictures there are, how many have a caption, and what was not used."""
        return report.sentence(len(self.pictures), sum(bool(one.caption) for one in self.pictures), self.left)

    @property
    def notes(self) -> tuple[str, ...]:
        """All there is to tell, in sentences, that of the whole set first."""
        return (self.sentence, *details(self.left), *self.remarks)


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


def import_pictures(
    studio: Studio, sources: Sequence[Path], names: Sequence[str] = (), skipped: Sequence[str] = (), ground: str = ""
) -> tuple[PictureSet, list[str]]:
    """Copy every usable picture of `sources`, files and folders, into a new set; and a sentence for each refused file.

    `names` are what a browser calls the files, with their folders, and `skipped` what it did not send: words, and never
    paths on this disk. What is transparent is composited on the colour `ground`. Raises UserError if none is usable,
    or `ground` no colour.
    """
    require_colour(ground)
    intake = gather([Path(source) for source in sources], names, skipped)
    for place in (studio.pictures, studio.cache):
        files.sweep(place)
    with archives.unpacked(intake, studio.cache) as whole:
        return _imported(studio, whole, ground)


def _imported(studio: Studio, intake: Intake, ground: str) -> tuple[PictureSet, list[str]]:
    """As `import_pictures`, of what was gathered."""
    found, texts, left = sort(intake.files)
    if len(found) > MOST:
        raise UserError(
            f"These are {len(found)} files.", f"Choose at most {MOST}; 10 to 50 pictures are enough for a LoRA."
        )
    if not found:
        raise _nothing(intake, left)
    captions = Captions(found, texts, intake.loose)
    partial = files.half_made(studio.pictures / "new")  # what a crash cuts short is no set, and swept away
    try:
        filled = fill(studio, partial, found, captions.texts, ground)
        if not filled.stored:
            why, many = filled.refused[0], len(found) > 1  # which says what to do itself
            what = f"None of the {len(found)} files is a usable picture. {why}" if many else why
            raise UserError(what, "Choose others." if many else "Choose another one.")
        kept, unusable = mask_files.take(partial, filled.stored, mask_files.beside(found, intake.files))
        left = [one for one in left if one.file not in kept | {mask.file for mask in unusable}] + unusable
        filled.remarks += [f"Masks that came with their pictures: {len(kept)}."] if kept else []
        written = (captions.texts[number] for number in filled.stored)
        emptied = [at for at, number in enumerate(filled.stored, start=1) if number in captions.emptied]
        filled.remarks += recalled.recall(partial, written, filled.digests, picture_sets(studio), emptied)
        picture_index.write(partial, _index(intake, left, found, captions, filled))
        folder = studio.pictures / new_id(studio.pictures)
        files.move(partial, folder)
    finally:
        files.remove_folder(partial)
    return load(folder), filled.refused


def _index(
    intake: Intake, left: Sequence[LeftOut], found: Sequence[Incoming], captions: Captions, filled: Filled
) -> Index:
    """The list of a set that was just filled."""
    stored = [found[number] for number in filled.stored]
    counts = [repeats(picture.name, intake.root) for picture in stored]
    numbers = [number for number, _ in counts]
    links = [details([left_out(name, "link", "links, whose files were copied")])[0] for name in intake.links]
    remarks = [*map(plain, captions.remarks), *links, *map(plain, repeated(counts)), *filled.remarks]
    return Index(
        title=plain(intake.title or f"{len(stored)} pictures"),
        labels=tuple(plain(picture.name.name)[:200] for picture in stored),
        notes=tuple(remarks),
        repeats=picture_index.repeats(numbers),
        digests=tuple(filled.digests),
        sizes=tuple(filled.sizes),
        opted_out=tuple(filled.opted_out),
        left=tuple(intake.left) + tuple(left) + tuple(filled.left) + tuple(captions.unused(filled.stored)),
    )


def load(folder: Path) -> PictureSet:
    """Read a set of the studio again. Raises UserError where it is not there any more or its list is damaged."""
    return set_changes.between(folder, lambda: _read(folder))


def _read(folder: Path) -> PictureSet:
    began, index = time.time(), picture_index.read(folder)
    pictures: list[Picture] = []
    remarks, replaced = list(index.notes), list[str]()
    for number, (label, counts) in enumerate(zip(index.labels, index.counts(), strict=False), start=1):
        path, lines = folder / f"{number:04}.png", tuple[str, ...]()
        if not path.is_file():
            continue
        try:
            lines = read_lines(path.with_suffix(".txt"))
        except UserError as error:  # deleted, or no text any more
            remarks.append(f"{error.what} {error.remedy}")
        digest = index.digests[number - 1] if number <= len(index.digests) else ""
        if number <= len(index.sizes) and index.sizes[number - 1] not in (0, path.stat().st_size):
            digest = ""  # which was of what it was before
            replaced.append(label)
        crop, several = index.crops.get(number, MIDDLE), lines if len(lines) > 1 else ()
        told = (label, counts, digest, number in index.opted_out, crop, several)
        pictures.append(Picture(path, " ".join(lines), *told))
    if replaced:
        who = f"{replaced[0]} was" if len(replaced) == 1 else f"{len(replaced)} pictures, such as {replaced[0]}, were"
        remarks.append(f"{who} changed in the folder of your studio. What lies there now is learnt.")
    return PictureSet(folder, index.called(len(pictures)), tuple(pictures), tuple(remarks), index.left, began)


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
    require_free(studio, place)
    try:
        send2trash(place)
    except OSError:
        raise UserError("These pictures could not be moved to the bin.", f"Delete {place} by hand.") from None


def require_free(studio: Studio, folder: Path) -> None:
    """Raises UserError while a run that is not finished learns from a set."""
    for run, name in _uses(studio).get(folder.name, ()):
        if run.summary().state != "finished":
            what = f"The training of {name} ({run.folder.name}) learns from these pictures and is not finished."
            raise UserError(what, "Let it come to its end, or delete that run first.")


def examples() -> dict[str, Path]:
    """The example pictures that ship with the app: preset key to folder."""
    if not EXAMPLES.is_dir():
        return {}
    return {folder.name: folder for folder in sorted(EXAMPLES.iterdir()) if any(folder.glob("*.png"))}


def _nothing(intake: Intake, left: Sequence[LeftOut]) -> UserError:
    """No picture at all, and what there is instead."""
    if not intake.called:
        return UserError("There are no pictures.", DROP)
    instead = counted([*intake.left, *left])
    found = f"There are no pictures in {plain(intake.called)}{f', only {instead}' if instead else ''}."
    return UserError(found, DROP)


def _summary(folder: Path) -> SetSummary:
    """Raises OSError where the set was deleted a moment ago."""
    sizes = {path.name: path.lstat().st_size for path in folder.iterdir()}
    there = sorted(name for name in sizes if name.endswith(".png") and name[:-4].isdecimal())  # and no mask
    captions = sum(sizes.get(f"{name[:-4]}.txt", 0) > 0 for name in there)
    index = folder / picture_index.FILE
    made = (index if index.name in sizes else folder).lstat().st_mtime
    try:
        title = set_changes.between(folder, lambda: picture_index.read(folder)).called(len(there))
        problem = ""
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
