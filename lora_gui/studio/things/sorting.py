"""What a file that comes in is meant as, by its name and its folders alone: picture, caption, or never learnt."""

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from lora_gui.drive import folded
from lora_gui.studio.things.intake import Incoming
from lora_gui.studio.things.report import CAPTION, PICTURELESS, LeftOut, left_out

PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif"}
TEXTS = {".txt", ".caption", ".captions", ".cap", ".prompt", ".tags", ".tag"}  # one caption each
TAGS = {".tags", ".tag"}  # that are no sentence, and give way to one
TABLES = {".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet"}  # one caption or many
# Files that stand beside pictures and are not meant as one.
BESIDE = {
    ".md", ".toml", ".yaml", ".yml", ".npz", ".npy", ".safetensors", ".pt", ".ini", ".db", ".log", ".xmp", ".aae",
    ".pp3", ".lnk", ".url",
}  # fmt: skip
NOTES = re.compile(r"(read[ _-]?me|licen[cs]es?|notice|requirements|(sample[ _-]?)?prompts|credits)([ _.-].*)?")
BINS = {"$recycle.bin", "recycler", "recycled", "#recycle", "@recycle", "lost+found", "system volume information"}
THUMBNAILS = {"@eadir", ".thumbnails", ".thumbs", "thumbs", "thumbnails", ".@__thumb", "_thumbs"}
CONTROLS = "_controls"  # what ai-toolkit has made of pictures: depths, poses, masks
FOLDERS = {
    "regularisation": re.compile(r"regs?|(regs?|regulari[sz]ations?|class)([ _-]?(images?|imgs?|pictures?|data))?"),
    "sample": re.compile(r"samples?"),
    "mask": re.compile(r"masks?|mask[ _-]?labels?"),
    "conditioning": re.compile(rf"{CONTROLS}|(conditioning|control)([ _-]?(images?|data))?|cond[ _-]?labels?"),
}
MASK = re.compile(r"((?P<of>.+?)(?=[-_. (\[]))?(?P<end>[-_. (\[]*(masks?|mask[-_ ]?label)[)\]]?)( ?\(\d+\))?")
CONDITIONING = re.compile(r".*[-_. ]cond[-_ ]?label")
# Names that say so only where the picture that they are made of is there as well.
OF_A_PICTURE = {
    "mask": re.compile(r"masks?[-_. ](?P<of>.+)|(?P<by>.+)[-_. ]mask(label)?[-_. ]?\d+"),
    "thumbnail": re.compile(r"(thumb|thumbnail|tn)[-_. ](?P<of>.+)|(?P<by>.+)[-_. ](thumb|thumbnail|tn)"),
}
REPEATS = re.compile(r"([1-9]\d{0,2})_(?=.*[^\W\d_])")  # no year, no date, no 01_: a number, and a word


def is_caption(name: PurePosixPath) -> bool:
    """Whether a file is meant to hold captions."""
    return name.suffix.lower() in TEXTS | TABLES and not NOTES.fullmatch(folded(name.stem))


def sort(files: Sequence[Incoming]) -> tuple[list[Incoming], list[Incoming], list[LeftOut]]:
    """The pictures, the captions, and what is never learnt, with its reason; a browser did not send all of that."""
    others = [file.name for file in files if not is_caption(file.name)]
    there, masks = {(name.parent, folded(name.stem)) for name in others}, _masks(others)
    pictures: list[Incoming] = []
    captions: list[Incoming] = []
    left: list[LeftOut] = []
    for file in files:
        if not file.given and not is_caption(file.name):
            continue
        if found := _never(file.name, there, masks):
            left += [found] if file.given else []
        elif is_caption(file.name):
            captions += [file] if file.path.name else []
        elif file.path.name:
            pictures.append(file)
    return pictures, captions, list(dict.fromkeys(left))


def repeats(name: PurePosixPath, root: str) -> tuple[int, str]:
    """How often a picture counts by kohya's rule (`10_fox`), and the nearest folder that says so."""
    for folder in reversed((root, *name.parts[:-1])):
        if found := REPEATS.match(folder):
            return int(found[1]), folder
    return 1, ""


def repeated(counts: Iterable[tuple[int, str]]) -> list[str]:
    """A sentence for each folder whose pictures count more than once, from what `repeats` says of each picture."""
    folders = dict.fromkeys(counts)
    same = len({number for number, _ in folders}) == 1
    alike = "; that is the same for all pictures, so they come equally often" if same else ""
    return [f"Folder {folder}: each picture counts {number} times{alike}." for number, folder in folders if number > 1]


def _masks(names: Sequence[PurePosixPath]) -> set[PurePosixPath]:
    """Those that end as masks do, and where a picture shows it: theirs, or that of another with the same end.

    Else it is a thing that they show, as `man with gas mask.jpg`. What has no other name needs no picture, nor what no
    thing is called.
    """
    stems = {folded(name.stem) for name in names}
    ends = {name: found for name in names if (found := MASK.fullmatch(folded(name.stem)))}
    shown = {found["end"] for found in ends.values() if found["of"] in stems}
    return {
        name
        for name, found in ends.items()
        if not found["of"] or found["end"] in shown or found["end"].rstrip(")]").endswith("label")
    }


def _never(
    name: PurePosixPath, there: set[tuple[PurePosixPath, str]], masks: set[PurePosixPath]
) -> LeftOut | None:
    """Why a file is never learnt; `there` are the places and stems of all pictures, `masks` those that are masks."""
    for at, folder in enumerate(name.parts[:-1]):
        key = folded(folder)
        if key in BINS or key.startswith(".trash"):
            return left_out(name, "bin", where=folder)
        if key in THUMBNAILS:
            return left_out(name, "thumbnail")
        if key == "__macosx":
            return left_out(name, "macos")
        if key.startswith("."):
            return left_out(PurePosixPath(*name.parts[: at + 1]), "hidden")
        for kind, pattern in FOLDERS.items():
            if pattern.fullmatch(key) and kind in ("mask", "conditioning") and is_caption(name):
                return left_out(name, CAPTION, PICTURELESS)
            if pattern.fullmatch(key):
                return left_out(name, kind, where=folder)
    return _never_named(name, there, masks)


def _never_named(
    name: PurePosixPath, there: set[tuple[PurePosixPath, str]], masks: set[PurePosixPath]
) -> LeftOut | None:
    """As `_never`, by the name of the file alone."""
    key, stem = folded(name.name), folded(name.stem)
    if key in ("thumbs.db", "ehthumbs.db") or key.startswith("synophoto_thumb"):
        return left_out(name, "thumbnail")
    if key.startswith("._") or key == "icon\r":
        return left_out(name, "macos")
    if key.startswith("."):
        return left_out(name, "hidden")
    if is_caption(name):
        return None
    if name.suffix.lower() in BESIDE | TEXTS | TABLES:
        return left_out(name, "other")
    if name in masks:
        return left_out(name, "mask")
    if CONDITIONING.fullmatch(stem):
        return left_out(name, "conditioning")
    for kind, pattern in OF_A_PICTURE.items():
        if (found := pattern.fullmatch(stem)) and (name.parent, found["of"] or found["by"]) in there:
            return left_out(name, kind)
    return None
