"""Captions that were written before for the very same pictures, for those that come in again without one."""

import functools
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.studio.things import picture_index, set_changes
from lora_gui.studio.things.names import read_lines


def recall(
    folder: Path, captions: Iterable[str], digests: Sequence[str], sets: Sequence[Path], emptied: Collection[int]
) -> list[str]:
    """Write what `sets`, the first ones first, say of the pictures in `folder` that have no caption.

    `captions` and `digests`, of the pixels, are of its pictures, from the first; the numbers in `emptied`, from 1, are
    of those that shall have none. How many were given one, and how many were not, is told in a sentence each.
    """
    told = enumerate(zip(captions, digests, strict=True), start=1)
    bare = {number: digest for number, (caption, digest) in told if digest and not caption}
    known = _known(set(bare.values()), sets) if bare else {}
    found = {number: known[digest] for number, digest in bare.items() if digest in known}
    given = {number: lines for number, lines in found.items() if number not in emptied}
    for number, lines in given.items():
        files.write_text(folder / f"{number:04}.txt", "\n".join(lines))
    remarks = [f"{_were(len(given))} here before: the captions that you had given are there again."] if given else []
    if left := len(found) - len(given):
        remarks.append(f"{_were(left)} here before with a caption, and came with an empty caption file: without one.")
    return remarks


def _were(count: int) -> str:
    return "1 picture was" if count == 1 else f"{count} pictures were"


def _known(digests: set[str], sets: Sequence[Path]) -> dict[str, tuple[str, ...]]:
    """The lines of the first caption of each digest; sets and captions that cannot be read are passed over."""
    known: dict[str, tuple[str, ...]] = {}
    for folder in sets:
        if known.keys() >= digests:
            break
        try:
            known = set_changes.between(folder, functools.partial(_in_set, folder, digests)) | known
        except UserError:
            continue
    return known


def _in_set(folder: Path, digests: set[str]) -> dict[str, tuple[str, ...]]:
    """The lines of the first caption of each digest in a set. Raises UserError where it cannot be read."""
    found: dict[str, tuple[str, ...]] = {}
    for number, digest in enumerate(picture_index.read(folder).digests, start=1):
        if digest in digests and digest not in found and (lines := _lines(folder / f"{number:04}.txt")):
            found[digest] = lines
    return found


def _lines(path: Path) -> tuple[str, ...]:
    try:
        return read_lines(path)
    except UserError:
        return ()
