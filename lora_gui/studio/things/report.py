"""What an import did, in one sentence, and every file that was not used, each with its reason."""

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import Final

from pydantic import BaseModel, ConfigDict

from lora_gui.formats.header import plain

NAMED = 20  # files that stand in a sentence; the list has them all
LONGEST = 200  # characters of a name that is kept
CAPTION: Final = "caption"
UNUSABLE: Final = "unusable"  # its sentence is told where the pictures come in
PICTURELESS: Final = "captions whose picture is not used"
FOLDERS = {"regularisation": " (regularisation)", "bin": " (recycle bin)", "sample": " (sample drawings)"}
# kind -> one of them, several of them, why they are not used
KINDS = {
    "mask": ("mask", "masks", "masks are never learnt as pictures"),
    "conditioning": ("conditioning picture", "conditioning pictures", "conditioning pictures are never learnt"),
    "thumbnail": ("thumbnail", "thumbnails", "thumbnails that other programs made are not learnt"),
    "regularisation": ("file", "files", "regularisation pictures are not learnt, the app trains without them"),
    "bin": ("file", "files", "what lies in a recycle bin is not meant"),
    "sample": ("file", "files", "sample drawings of a trainer are not learnt"),
    "hidden": ("hidden file or folder", "hidden files and folders", "hidden files and folders are not meant"),
    "macos": ("leftover of macOS", "leftovers of macOS", "leftovers of macOS beside other files"),
    "link": ("linked folder", "linked folders", "linked folders are not entered"),
    "broken": ("broken link", "broken links", "links that lead to nothing"),
    "forbidden": ("folder that cannot be read", "folders that cannot be read", "folders that cannot be read"),
    "special": ("pipe or device", "pipes and devices", "neither files nor folders"),
    UNUSABLE: ("file that cannot be used", "files that cannot be used", "cannot be used"),
    "other": ("other file", "other files", "neither pictures nor captions"),
}


class LeftOut(BaseModel):
    """A file that was not used; a `reason` that ends in a dot is a sentence, and names the file itself."""

    model_config = ConfigDict(frozen=True)

    file: str  # its name with its folders, as the user knows it
    kind: str  # in KINDS or CAPTION; one of a later version counts as an other file
    reason: str = ""
    where: str = ""  # the folder that it is left out for, where it is for that


def left_out(name: PurePosixPath | str, kind: str, reason: str = "", where: str = "") -> LeftOut:
    """One file that is not used, in words that can be shown; without `reason`, that of its kind."""
    return LeftOut(
        file=plain(str(name)[-LONGEST:]), kind=kind, reason=plain(reason or KINDS[kind][2]), where=plain(where)
    )


def sentence(pictures: int, captions: int, left: Sequence[LeftOut]) -> str:
    """`24 pictures, 20 with captions. Not used: 3 masks, 4 files in `reg` (regularisation), 2 captions.`"""
    have = {0: "none with a caption", 1: "1 with a caption"}.get(captions, f"{captions} with captions")
    said = f"{pictures} {'picture' if pictures == 1 else 'pictures'}, {have}."
    return f"{said} {unused(left)}".strip()


def unused(left: Sequence[LeftOut]) -> str:
    """`Not used: 3 masks, 4 files in `reg` (regularisation), 2 captions.`"""
    captions = sum(one.kind == CAPTION for one in left)
    said = [counted(left), f"{captions} {'caption' if captions == 1 else 'captions'}" if captions else ""]
    return f"Not used: {', '.join(filter(None, said))}." if any(said) else ""


def counted(left: Iterable[LeftOut]) -> str:
    """`3 masks, 4 files in `reg` (regularisation)`; captions are counted apart."""
    groups: dict[tuple[str, str], int] = {}
    for one in left:
        kind = one.kind if one.kind in KINDS or one.kind == CAPTION else "other"
        if kind != CAPTION:
            key = (kind, one.where if kind in FOLDERS else "")
            groups[key] = groups.get(key, 0) + 1
    order = list(KINDS)
    return ", ".join(_counted(*key, groups[key]) for key in sorted(groups, key=lambda k: (order.index(k[0]), k[1])))


def details(left: Iterable[LeftOut]) -> list[str]:
    """A sentence for each reason, naming its files; those that were refused one by one have theirs already."""
    groups: dict[str, list[str]] = {}
    for one in left:
        if one.kind != UNUSABLE:
            groups.setdefault(one.reason, []).append(one.file)
    return [reason if reason.endswith(".") else _listed(reason, names) for reason, names in groups.items()]


def _counted(kind: str, where: str, count: int) -> str:
    words = f"{count} {KINDS[kind][count != 1]}"
    return f"{words} in `{where}`{FOLDERS[kind]}" if where else words


def _listed(reason: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{reason[:1].upper()}{reason[1:]}: {', '.join(names[:NAMED])}{more}."
