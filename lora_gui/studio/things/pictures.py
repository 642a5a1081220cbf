"""Picture sets and their captions: strangers' files come in, upright RGB copies of our own making are what is kept."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import lora_gui
from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.formats.header import plain
from lora_gui.studio.paths import Studio, new_id
from lora_gui.studio.sandbox.picture_sandbox import Decoder
from lora_gui.studio.things.names import clean_caption, read_text

EXAMPLES = Path(lora_gui.__file__).parent / "starter" / "examples"
MOST = 5000  # pictures in one set
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


def import_pictures(studio: Studio, sources: Sequence[Path]) -> tuple[PictureSet, list[str]]:
    """Copy every usable picture of `sources`, files and folders, into a new set; and a sentence for each refused file.

    Captions come from a .txt beside a picture, or of its name among `sources`. Raises UserError if none is usable.
    """
    sources = [Path(source) for source in sources]
    found, texts = _collect(sources)
    if not found:
        raise _nothing(sources)
    folder = studio.pictures / new_id(studio.pictures)
    pictures: list[Picture] = []
    notes: list[str] = []
    refused: list[str] = []
    try:
        with Decoder() as decoder:
            for source in found:
                try:
                    data, remarks = decoder.decode(source)
                except UserError as error:
                    refused.append(plain(f"{error.what} {error.remedy}"))
                    continue
                pictures.append(_store(folder, len(pictures) + 1, data, source, texts, notes))
                notes += map(plain, remarks)
        if not pictures:
            raise UserError(
                f"None of the {len(found)} files is a usable picture. {refused[0]}" if len(found) > 1 else refused[0],
                DROP,
            )
        title = plain(sources[0].stem) if len(sources) == 1 else f"{len(pictures)} pictures"
        made = PictureSet(folder, title, tuple(pictures), tuple(notes))
        _write_index(made)
    except UserError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return made, refused


def load(folder: Path) -> PictureSet:
    """Read a set of the studio again. Raises UserError where it is not there any more."""
    index = files.read_json(folder / "set.json")
    if not index:
        raise UserError("These pictures are not in your studio any more.", "Choose them again.")
    pictures = []
    for number, label in enumerate(index["labels"], start=1):
        path = folder / f"{number:04}.png"
        if path.is_file():
            pictures.append(Picture(path, read_text(path.with_suffix(".txt")), label))
    return PictureSet(folder, index["title"], tuple(pictures), tuple(index["notes"]))


def picture_sets(studio: Studio) -> list[Path]:
    """The folders of all sets, the newest first."""
    return sorted((p.parent for p in studio.pictures.glob("*/set.json")), reverse=True)


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
        if not source.exists():
            raise UserError(f"{source} is not there.", "Check the path.")
        if source.is_dir():
            inside = [p for p in sorted(source.rglob("*")) if p.is_file() and p.suffix.lower() not in BESIDE]
            found += [
                p for p in inside if not any(part.startswith((".", "__MACOSX")) for part in p.relative_to(source).parts)
            ]
        elif source.suffix.lower() in CAPTION_SUFFIXES:
            texts[source.stem] = source
        else:
            found.append(source)
    if len(found) > MOST:
        raise UserError(
            f"These are {len(found)} files.", f"Choose at most {MOST}; 10 to 50 pictures are enough for a LoRA."
        )
    return found, texts


def _nothing(sources: Sequence[Path]) -> UserError:
    if not sources:
        return UserError("There are no pictures.", DROP)
    return UserError(f"There are no pictures in {sources[0].name}.", DROP)


def _store(
    folder: Path, number: int, data: bytes, source: Path, texts: dict[str, Path], notes: list[str]
) -> Picture:
    path = folder / f"{number:04}.png"
    caption = ""
    beside = (source.with_suffix(suffix) for suffix in CAPTION_SUFFIXES)
    text = next((p for p in beside if p.is_file()), texts.get(source.stem))
    if text:
        try:
            caption = read_text(text)
        except UserError as error:
            notes.append(plain(f"{error.what} {error.remedy}"))
    files.write_bytes(path, data)
    files.write_text(path.with_suffix(".txt"), caption)
    return Picture(path, caption, plain(source.name)[:200])


def _write_index(pictures: PictureSet) -> None:
    labels = [picture.label for picture in pictures.pictures]
    files.write_json(pictures.folder / "set.json", {"title": pictures.title, "labels": labels, "notes": pictures.notes})
