"""One look at a picture: what the doctor must know of it, measured once; afterwards the picture stays closed."""

import io
import json
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

VERSION = 3  # of what is measured; a change makes those that were kept be left alone
SIDE = 512  # px, longer side at which it is measured
SMALL = 256  # px, longer side of the copy that is kept, by which pictures of a set are compared
UNKNOWN = 101  # quality of what was not saved as JPEG
_CENTRE = 1024  # px of the middle in which blocks are looked for
_COARSE = 8  # px
_FLAT, _EDGE = 1.5, 32.0  # of 255 between neighbours: less is flat, more an edge
_DRAWN = 0.75  # of a picture, so much of which is flat
# Of 255: squares that are drawn are plainer inside than JPEG leaves a drawing, and their edges steeper than those it
# makes in what is smooth, which are 40 at quality 5.
_PLAIN, _STEEP = 0.3, 44.0
_SAME = 10.0  # of 255; colours of a border
_MOST = 0.45  # of a side, a border
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
_KEY = "look"
_LUMINANCE_50 = 57.6  # mean of the table of luminance at quality 50 (ITU-T T.81, table K.1)

Pixels = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Look:
    """`small` is the picture itself, at most SMALL px on its longer side; (h, w, 3) uint8. All else is unitless."""

    width: int  # px, upright
    height: int
    quality: int  # with which it was saved as JPEG, 1 to 100
    blocks: float  # how much more neighbours differ across the edges of 8 x 8 blocks than within; 1 is not at all
    sharp: float  # the steepest edges of one pixel by those of eight: 1 is a clean edge, 1/8 none at all
    borders: tuple[float, float, float, float]  # left, top, right, bottom: share of the side
    style: tuple[float, ...]  # in the order of STYLE
    small: Pixels


STYLE = ("flat", "colourful", "contrast", "edges", "grain", "colours")


def look(picture: Image.Image, quality: int = UNKNOWN, size: tuple[int, int] | None = None) -> Look:
    """Look at an upright RGB picture, which may be a smaller copy of one of `size` px."""
    copy = picture.copy() if max(picture.size) <= SIDE else picture
    if copy is picture:
        copy = picture.resize(_within(picture.size, SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
    pixels = np.asarray(copy, np.float32)
    grey = pixels @ _LUMINANCE
    small = copy.resize(_within(copy.size, SMALL), Image.Resampling.BOX, reducing_gap=2.0)
    style = _style(pixels, grey)
    edges = _borders(pixels, style[0])
    inside = grey[_inside(edges[1], edges[3], len(grey)), _inside(edges[0], edges[2], grey.shape[1])]
    blocks = _blocks(picture) if size in (None, picture.size) else 1.0
    return Look(*(size or picture.size), quality, blocks, _sharp(inside), edges, style, np.asarray(small))


def jpeg_quality(tables: dict[int, list[int]]) -> int:
    """The quality of the usual scale (libjpeg's jpeg_quality_scaling) that comes nearest to quantisation tables."""
    if not tables:
        return UNKNOWN
    scale = 100 * float(np.mean(tables[min(tables)])) / _LUMINANCE_50
    return int(np.clip(round((200 - scale) / 2 if scale <= 100 else 5000 / scale), 1, 100))


def packed(found: Look) -> bytes:
    """A PNG of the small copy, with the numbers in a text beside it."""
    told = PngImagePlugin.PngInfo()
    numbers = asdict(found) | {"small": None}
    told.add_text(_KEY, json.dumps(numbers))
    data = io.BytesIO()
    Image.fromarray(found.small).save(data, "PNG", compress_level=1, pnginfo=told)
    return data.getvalue()


def unpacked(data: bytes) -> Look:
    """Raises ValueError, TypeError, KeyError or OSError where it is none of ours, or damaged."""
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        image.load()
        numbers = json.loads(image.info[_KEY])
        small = np.asarray(image.convert("RGB"))
    values = {one.name: numbers[one.name] for one in fields(Look)}
    values |= {name: tuple(map(float, values[name])) for name in ("borders", "style")} | {"small": small}
    return Look(**values)


def borders(picture: Image.Image) -> tuple[int, int, int, int]:
    """Of an upright RGB picture, px on the left, top, right and bottom that are border; to the pixel."""
    wide, high = picture.size
    shares = _borders(np.asarray(picture, np.float32), 0.0)
    left, top, right, bottom = (round(share * side) for share, side in zip(shares, (wide, high) * 2, strict=True))
    return left, top, right, bottom


def _within(size: tuple[int, int], side: int) -> tuple[int, int]:
    """The size with so many px on the longer side; of the shorter so many are left as can be measured."""
    scale = min(1.0, side / max(size))
    return max(_COARSE, round(size[0] * scale)), max(_COARSE, round(size[1] * scale))


def _sharp(grey: Pixels) -> float:
    """How steep its steepest edges are within one pixel, of how high they are: no matter what it shows.

    Of what is too narrow to have an edge of eight pixels nothing can be said; it is taken for clean.
    """
    cut = grey[: len(grey) // _COARSE * _COARSE, : grey.shape[1] // _COARSE * _COARSE]
    if min(cut.shape) < 2 * _COARSE:
        return 1.0
    coarse = cut.reshape(len(cut) // _COARSE, _COARSE, -1, _COARSE).mean(axis=(1, 3))
    fine, far = (np.percentile(_steps(one), 99.9) for one in (grey, coarse))
    return float(np.clip(fine / max(far, 1.0), 0.0, 2.0))


def _steps(grey: Pixels) -> Pixels:
    """How much each pixel differs from its neighbours on the right and below, the larger of both."""
    right, below = np.abs(np.diff(grey, axis=1))[:-1], np.abs(np.diff(grey, axis=0))[:, :-1]
    return np.maximum(right, below)


def _blocks(picture: Image.Image) -> float:
    """Blockiness of the middle of a picture at its own size, whatever file it stands in now.

    Squares that are drawn, as those of pixel art that was enlarged, are none of JPEG's.
    """
    side = [min(_CENTRE, side // 8 * 8) for side in picture.size]
    left, top = ((whole - part) // 16 * 8 for whole, part in zip(picture.size, side, strict=True))
    grey = np.asarray(picture.crop((left, top, left + side[0], top + side[1])).convert("L"), np.float32)
    ratios = []
    for axis in (0, 1):
        # The second difference: what is smooth, however steep, counts nothing.
        bend = np.abs(np.diff(grey, n=3, axis=axis)).swapaxes(0, axis)
        phases = [float(bend[phase::8].mean()) for phase in range(8) if len(bend[phase::8])]
        if len(phases) == 8:
            edges, inside = phases[6], float(np.median(phases))  # between the 8th pixel and the next, and elsewhere
            steep = edges / max(float((bend[6::8] > 0).mean()), 1e-6)
            ratios.append((edges + 0.05) / (inside + 0.05) if inside > _PLAIN or steep < _STEEP else 1.0)
    return float(min(ratios, default=1.0))


def _inside(before: float, behind: float, side: int) -> slice:
    """What lies within the borders of a side of so many px."""
    return slice(int(np.ceil(before * side)) + (before > 0), side - int(np.ceil(behind * side)) - (behind > 0))


def _borders(pixels: Pixels, flat: float) -> tuple[float, float, float, float]:
    """Bars of one colour on opposite sides, which end along a straight line: as shares of the sides.

    Where much is `flat` that may be the ground of a drawing: there the line must go all along. So must bars on two
    sides alone, from edge to edge, or a thing with straight sides would be taken for a picture in a frame.
    """
    least = 0.97 if flat > _DRAWN else 0.6
    across, down = _bars(pixels.swapaxes(0, 1)), _bars(pixels)
    # Each line is looked at between the borders of the other two sides.
    inside = [1 - sum(end for end, _ in ends) for ends in (across, down)]
    both = all(_end(ends, least * between) for ends, between in ((across, inside[1]), (down, inside[0])))
    (left, right), (top, bottom) = (
        tuple(end for end, _ in ends) if both or _end(ends, least) else (0.0, 0.0) for ends in (across, down)
    )
    return left, top, right, bottom


def _end(ends: list[tuple[float, float]], along: float) -> bool:
    """Whether both bars are there and end along so much of the side."""
    return all(end and line > along for end, line in ends)


def _bars(pixels: Pixels) -> list[tuple[float, float]]:
    """At the top and the bottom of (H, W, 3): a bar's share of the height, and the share of the width that ends there.

    None where the two are not of one colour.
    """
    height, colour = len(pixels), np.median(pixels[0], axis=0)
    if np.abs(np.median(pixels[-1], axis=0) - colour).max() > _SAME:
        return [(0.0, 0.0)] * 2
    other = (np.abs(pixels - colour).max(axis=2) > _SAME).mean(axis=1)  # of each row, the share that is no border
    ends = []
    for rows in (other, other[::-1]):
        inner = int(np.argmax(rows > 0.02)) if (rows > 0.02).any() else height
        is_bar = 0.005 < inner / height < _MOST
        ends.append((inner / height, float(rows[inner : inner + 3].max(initial=0.0))) if is_bar else (0.0, 0.0))
    return ends


def _style(pixels: Pixels, grey: Pixels) -> tuple[float, ...]:
    steps = _steps(grey)
    bend = np.abs(np.diff(grey, n=2, axis=1))
    few = (pixels[::2, ::2].astype(np.uint16) >> 4) @ np.array([256, 16, 1], np.uint16)
    counts = np.bincount(few.ravel(), minlength=4096) / few.size
    return (
        float((steps < _FLAT).mean()),
        float((pixels.max(axis=2) - pixels.min(axis=2)).mean() / 255),
        float(grey.std() / 128),
        float((steps > _EDGE).mean()),
        float(np.log1p(np.median(bend))),
        float(np.log2(1 + (counts > 0.0005).sum()) / 12),
    )
