"""Taggers as SmilingWolf publishes them, as ONNX with a table of tags, through onnxruntime where that is installed."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.formats.captioners import AGAIN, LIMIT, ONNX, TAGS

if TYPE_CHECKING:
    from lora_gui.engine.caption.describe import Describer, Opening

PREPARED = "preprocess.json"  # beside those whose pictures are scaled before they are given
Normalisation = tuple[np.ndarray, np.ndarray]
_PROBABILITIES = "prediction", "output"  # what their answer is called where there are others, as embeddings
_GENERAL, _CHARACTER = "0", "4"  # categories of tags; ratings are "9"
_MISSING = UserError("Taggers need onnxruntime, which is not installed.", "Install it: pip install onnxruntime")


class Tag(NamedTuple):
    """One output of the model."""

    name: str
    category: str


def tagger(opening: Opening) -> Describer:
    """Tags with commas, the likeliest first, names of characters before all others.

    Raises UserError where onnxruntime is missing, or the model is of another shape than its tags.
    """
    try:
        import onnxruntime
    except ImportError:
        raise _MISSING from None
    tags = read_tags(opening.folder / TAGS)
    providers = ["CPUExecutionProvider"]
    if opening.room.device.type == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        providers.insert(0, "CUDAExecutionProvider")
    session = onnxruntime.InferenceSession(str(opening.folder / ONNX), providers=providers)
    wanted = session.get_inputs()[0]
    arranged = arrangement(wanted.shape, normalisation(opening.folder / PREPARED))
    answers = [one.name for one in session.get_outputs()]
    answer = next((name for name in _PROBABILITIES if name in answers), answers[0])

    def describe(images: Sequence[Image.Image]) -> list[str]:
        found = []
        for image in images:  # one by one: some are published for one picture alone
            (chances,) = session.run([answer], {wanted.name: arranged(image)})[0]
            if len(chances) != len(tags):
                raise UserError(f"The tags beside {ONNX} are those of another model.", AGAIN)
            found.append(said(tags, chances, opening.general, opening.character))
        return found

    return describe


def read_tags(path: Path) -> list[Tag]:
    """The tags in the order of the model's outputs. Raises UserError where the table is damaged."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            tags = [Tag(_plain(row["name"]), row["category"]) for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise UserError(f"{path.name} is damaged.", AGAIN) from error
    if not tags:
        raise UserError(f"{path.name} is empty.", AGAIN)
    return tags


def normalisation(path: Path) -> Normalisation | None:
    """The means and deviations of red, green and blue, of 1, that a tagger says beside itself; None where it does not.

    Source: deepghs/imgutils, imgutils/preprocess: stages, of which one is called `normalize`.
    """
    said = files.read_json(path, LIMIT)
    stages = (said.get("stages") or said.get("test")) if isinstance(said, dict) else None
    for one in stages if isinstance(stages, list) else ():
        if isinstance(one, dict) and one.get("type") == "normalize":
            found = np.asarray([one.get("mean"), one.get("std")], np.float32)
            return (found[0], found[1]) if found.shape == (2, 3) and found[1].all() else None
    return None


def arrangement(shape: Sequence[Any], normal: Normalisation | None = None) -> Callable[[Image.Image], np.ndarray]:
    """How a picture is given to a model whose input has this shape: (B, H, W, 3) as SmilingWolf's, or with the colours
    second, as those of timm, which want red first and `normal`.

    Raises UserError for any other.
    """
    if len(shape) == 4 and shape[3] == 3 and isinstance(shape[1], int):
        return lambda image: pixels(image, shape[1])
    if len(shape) == 4 and shape[1] == 3 and isinstance(shape[2], int) and normal:
        mean, deviation = normal

        def scaled(image: Image.Image) -> np.ndarray:
            found = (pixels(image, shape[2])[..., ::-1] / 255 - mean) / deviation
            return np.ascontiguousarray(found.transpose(0, 3, 1, 2), np.float32)

        return scaled
    raise UserError(f"{ONNX} takes no pictures in a way that is known here.", "Choose another tagger.")


def pixels(image: Image.Image, side: int) -> np.ndarray:
    """(1, side, side, 3) in float32: blue first, 0 to 255, padded with white to a square, as these were taught."""
    longest = max(image.size)
    square = Image.new("RGB", (longest, longest), "white")
    square.paste(image, ((longest - image.width) // 2, (longest - image.height) // 2))
    if longest != side:
        square = square.resize((side, side), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(square, np.float32)[None, :, :, ::-1])


def said(tags: Sequence[Tag], chances: Any, general: float, character: float) -> str:
    """What is likely enough; ratings are never said."""
    least = {_CHARACTER: character, _GENERAL: general}
    likely = [
        (tag.category != _CHARACTER, -float(chance), tag.name)
        for tag, chance in zip(tags, chances, strict=True)
        if chance >= least.get(tag.category, 2.0)
    ]
    return ", ".join(name for *_, name in sorted(likely))


def _plain(name: str) -> str:
    """Spaces for underscores, but in faces such as ^_^ and o_o."""
    return name.replace("_", " ") if re.search(r"[^\W\d_]{2}", name) else name
