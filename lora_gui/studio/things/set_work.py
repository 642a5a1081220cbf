"""Picture sets are given a name, added to and split."""

from collections.abc import Sequence
from pathlib import Path

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.formats.header import plain
from lora_gui.framing import MIDDLE
from lora_gui.protocol.jobs import mask_beside
from lora_gui.studio.doctor import remedies
from lora_gui.studio.paths import Studio, new_id
from lora_gui.studio.things import masks, picture_index, pictures, set_changes
from lora_gui.studio.things.picture_index import MOST, MOST_REPEATS
from lora_gui.studio.things.pictures import Picture, PictureSet

LONGEST = 80  # letters of a title


def rename(folder: Path, title: str) -> str:
    """Give a set another name; as it is kept. Raises UserError where it is none."""
    name = " ".join(plain(title).split())
    if not name or len(name) > LONGEST:
        raise UserError(f"A picture set needs a name of 1 to {LONGEST} letters.", "Type another one.")

    def made() -> set_changes.Made:
        renamed = picture_index.read(folder).model_copy(update={"title": name})
        return f"The set was named {name}.", {picture_index.FILE: picture_index.written(renamed)}

    set_changes.make(folder, made)
    return name


def add(
    studio: Studio,
    folder: Path,
    sources: Sequence[Path],
    names: Sequence[str] = (),
    skipped: Sequence[str] = (),
    ground: str = "",
) -> tuple[PictureSet, list[str]]:
    """Bring more pictures into a set, which can be taken back; and a sentence for each file that was refused.

    `names`, `skipped` and `ground` as in `import_pictures`. Raises UserError as that does.
    """
    came, refused = pictures.import_pictures(studio, sources, names, skipped, ground)
    try:
        set_changes.make(folder, lambda: _joined(folder, came.folder))
    finally:
        files.remove_folder(came.folder)
    return pictures.load(folder), refused


def _joined(folder: Path, came: Path) -> set_changes.Made:
    """A set with the pictures of another behind its own."""
    index, more = picture_index.read(folder), picture_index.read(came)
    begin, count = len(index.labels), len(more.labels)
    if begin + count > MOST:
        raise UserError(f"That would be more than {MOST} pictures.", "Make a set of their own of them.")
    contents: dict[str, bytes | Path | None] = {}
    for number in range(1, count + 1):
        source, target = came / f"{number:04}.png", folder / f"{begin + number:04}.png"
        contents |= {target.name: source, f"{target.stem}.txt": source.with_suffix(".txt")}
        if mask_beside(source).is_file():
            contents[mask_beside(target).name] = mask_beside(source)
    digests = [*index.digests, *[""] * (begin - len(index.digests)), *more.digests]
    sizes = [*index.sizes, *[0] * (begin - len(index.sizes)), *more.sizes]
    changed = {
        "labels": (*index.labels, *more.labels),
        "notes": (*index.notes, *more.notes),
        "repeats": picture_index.repeats(index.counts() + more.counts()),
        "digests": tuple(digests),
        "sizes": tuple(sizes),
        "opted_out": (*index.opted_out, *(begin + number for number in more.opted_out)),
        "left": (*index.left, *more.left),
    }
    contents[picture_index.FILE] = picture_index.written(index.model_copy(update=changed))
    return f"{count} {'picture was' if count == 1 else 'pictures were'} added.", contents


def repeat(folder: Path, numbers: Sequence[int], times: int) -> PictureSet:
    """Let the pictures of these numbers count so often while others count once; that can be taken back.

    Raises UserError where there is no such picture, or `times` is out of bounds.
    """

    def made() -> set_changes.Made:
        found, index = pictures.load(folder), picture_index.read(folder)
        if not numbers or set(numbers) - {int(one.path.stem) for one in found.pictures}:
            raise UserError("There is no picture of that number in this set.", "Name some as their files are called.")
        if not 1 <= times <= MOST_REPEATS:
            raise UserError(f"A picture can count 1 to {MOST_REPEATS} times.", "Name another number.")
        counts = index.counts()
        for number in numbers:
            counts[number - 1] = times
        changed = index.model_copy(update={"repeats": picture_index.repeats(counts)})
        count = len(set(numbers))
        says = f"{count} {'picture counts' if count == 1 else 'pictures count'} {times} times now."
        return says, {picture_index.FILE: picture_index.written(changed)}

    set_changes.make(folder, made)
    return pictures.load(folder)


def split(studio: Studio, folder: Path, numbers: Sequence[int], title: str) -> PictureSet:
    """Move the pictures of these numbers into a new set; in the old one that can be taken back.

    Raises UserError where there is no such picture, where all are meant, or while a run needs the set.
    """
    found = pictures.load(folder)
    meant = [one for one in found.pictures if int(one.path.stem) in set(numbers)]
    if not meant or len(meant) < len(set(numbers)) or len(meant) == len(found.pictures):
        raise UserError("A set is split into two by naming some of its pictures.", "Name some, and not all of them.")
    pictures.require_free(studio, folder)
    place = studio.pictures / new_id(studio.pictures)
    partial = files.half_made(place)
    as_copied = [one.learnt() for one in meant]

    def made() -> set_changes.Made:
        pictures.require_free(studio, folder)
        now = pictures.load(folder)
        if [one.learnt() for one in now.pictures if one.path in {other.path for other in meant}] != as_copied:
            raise UserError("These pictures were changed meanwhile.", "Look at them, and split the set again.")
        files.move(partial, place)
        return remedies.remove(now, meant)

    try:  # copied before, since nobody else can change the set while this is done
        _fill(partial, found, meant, title)
        set_changes.make(folder, made)
    finally:
        files.remove_folder(partial)
    return pictures.load(place)


def _fill(partial: Path, found: PictureSet, meant: Sequence[Picture], title: str) -> None:
    """Make a set of copies of these pictures."""
    for at, one in enumerate(meant, start=1):
        target = partial / f"{at:04}.png"
        files.copy(one.path, target)
        files.write_text(target.with_suffix(".txt"), one.written)
        if mask := masks.mask_of(found, one):
            files.copy(mask, mask_beside(target))
    index = picture_index.Index(
        title=" ".join(plain(title).split())[:LONGEST] or f"{len(meant)} pictures",
        labels=tuple(one.label for one in meant),
        repeats=picture_index.repeats([one.repeats for one in meant]),
        digests=tuple(one.digest for one in meant),
        sizes=tuple(one.path.stat().st_size for one in meant),
        opted_out=tuple(at for at, one in enumerate(meant, start=1) if one.opted_out),
        crops={at: one.crop for at, one in enumerate(meant, start=1) if one.crop != MIDDLE},
    )
    picture_index.write(partial, index)
