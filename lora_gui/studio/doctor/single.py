"""What can be said of each picture by itself, and by how it stands among the others."""

from collections.abc import Iterator, Sequence

import numpy as np

from lora_gui import framing
from lora_gui.errors import UserError
from lora_gui.facts import Facts
from lora_gui.studio.doctor.finding import Finding
from lora_gui.studio.doctor.look import STYLE, UNKNOWN, Look

_SHARP, _SURE = 0.45, 0.4  # of the median, and at all: below both it is blurred
_FEWEST = 4  # pictures that others can be held against
_QUALITY = 50  # of JPEG, below which it shows
_BLOCKS = 3.0  # how much more neighbours differ across the edges of blocks
_CROPPED = 0.15  # share that is cut off
_SMALL = 0.75  # of the side that the base was made for
_DARK, _SPREAD = 60.0, 60.0  # of 255: the brightest parts of a dark picture; what lies between all of a washed-out one
_PALE = 0.12  # how colourful a washed-out one is at most


def checks(
    name: str, look: Look, among: Sequence[Look], facts: Facts, resolution: int, batch: int
) -> Iterator[Finding]:
    """What is wrong with one picture; `name` is what the user calls it."""
    yield from _size(name, look, facts, resolution, batch)
    yield from _sharpness(name, look, among)
    yield from _compression(name, look)
    yield from _border(name, look)
    yield from _light(name, look, among)


def _size(name: str, look: Look, facts: Facts, resolution: int, batch: int) -> Iterator[Finding]:
    size = look.width, look.height
    side = float(np.sqrt(look.width * look.height))
    try:
        framed = framing.frame(size, resolution, facts, batch)
    except UserError as error:
        yield Finding("small", f"{name}: {error.what}", error.remedy)
        return
    if side < _SMALL * resolution:
        full = f"{resolution} x {resolution}"
        says = f"{name} is {size[0]} x {size[1]}: it is learnt about that small, larger ones at {full}."
        yield Finding("small", says, "Use a larger copy of it, or leave it out: what it lacks in detail is learnt too.")
    if framed.cropped > _CROPPED:
        says = f"{framed.cropped * 100:.0f} % of {name} is cut off, which is {size[0]} x {size[1]}."
        yield Finding("cropped", says, "Cut out the part that matters, less long and narrow, and add that instead.")


def _sharpness(name: str, look: Look, among: Sequence[Look]) -> Iterator[Finding]:
    usual = float(np.median([one.sharp for one in among]))
    if len(among) >= _FEWEST and look.sharp < _SURE and look.sharp < _SHARP * usual:
        remedy = "Remove it, or use a sharper one: blur is learnt."
        yield Finding("blurred", f"{name} is softer than your others.", remedy)


def _compression(name: str, look: Look) -> Iterator[Finding]:
    if look.quality < _QUALITY or (look.quality == UNKNOWN and look.blocks > _BLOCKS):
        says = f"{name} was squeezed hard when it was saved as JPEG."
        yield Finding("squeezed", says, "Use a better copy: the blocks and smears are learnt.")


def _border(name: str, look: Look) -> Iterator[Finding]:
    sides = [side for side, share in zip(("left", "top", "right", "bottom"), look.borders, strict=True) if share]
    if sides:
        where = "all around" if len(sides) == 4 else f"at the {' and '.join(sides)}"
        says = f"{name} has a border {where}."
        yield Finding("border", says, "Crop it: a border in the pictures becomes one in the drawings.")


def _light(name: str, look: Look, among: Sequence[Look]) -> Iterator[Finding]:
    """Dark or washed out, where most of the others are not: then it may be meant."""
    if is_dark(look) and not _most(is_dark(one) for one in among):
        yield Finding("dark", f"{name} is very dark.", "Brighten it, or remove it, unless it is meant so.")
    elif is_washed(look) and not _most(is_washed(one) for one in among):
        yield Finding("washed", f"{name} is washed out.", "Give it more contrast, or remove it, unless it is meant so.")


def is_dark(look: Look) -> bool:
    return bool(np.percentile(look.small.mean(axis=2), 97) < _DARK)


def is_washed(look: Look) -> bool:
    """No colour of it goes far from the others, and none is dark."""
    low, high = np.percentile(look.small.reshape(-1, 3), [0.5, 99.5], axis=0)
    pale = look.style[STYLE.index("colourful")] < _PALE
    return bool(pale and (high - low).max() < _SPREAD and high.max() >= _DARK)


def _most(flags: Iterator[bool]) -> bool:
    known = list(flags)
    return sum(known) * 2 > len(known)
