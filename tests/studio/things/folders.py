"""Folders of awkward files, and what becomes of them."""

from PIL import Image

from lora_gui.studio.things.captions import Captions
from lora_gui.studio.things.intake import gather
from lora_gui.studio.things.pictures import import_pictures
from lora_gui.studio.things.sorting import sort

KINDS = "Folders of other programs: each caption with its picture, nothing learnt that is none"


def filled_with(folder, files):
    """A folder with these files: None is a picture, text is what a file says."""
    paths = []
    for name, content in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            Image.new("RGB", (80, 64), "red").save(path, "PNG")
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        paths.append(path)
    return paths


def brought(studio, tmp_path, files):
    """The captions by the picture's name, and the set."""
    filled_with(tmp_path / "in", files)
    made, _ = import_pictures(studio, [tmp_path / "in"])
    return {one.label: one.caption for one in made.pictures}, made


def paired(folder, files):
    """The captions by the picture's name, and what is said of the others, without a picture being opened."""
    filled_with(folder / "in", files)
    intake = gather([folder / "in"])
    pictures, texts, left = sort(intake.files)
    captions = Captions(pictures, texts, intake.loose)
    called = {picture.name.name: text for picture, text in zip(pictures, captions.texts, strict=True)}
    return called, [*left, *captions.unused(range(len(pictures)))]
