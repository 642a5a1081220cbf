"""Which pictures show the same: saved anew, mirrored or cropped; windows of one are compared with all of another.

A picture is cut into windows of many sizes and places, each pooled to few cells; those of one that correlate with all
of another are looked at closely, side by side.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from lora_gui.studio.doctor.look import Pixels

_SIDE = 64  # px, width and height at which windows are cut
_CELLS = 8  # of a window, across and down
_PARTS = (1.0, 0.93, 0.86, 0.8, 0.73, 0.66, 0.6, 0.53)  # of a side that a window takes
_STEP = 1 / 16  # of a side, between windows
_STRETCH = 1.35  # at most, of a window's shape
_COARSE = 0.86  # correlation of cells from which two are looked at closely
_NEAREST = 6  # of each picture that are
_CLOSE = 48  # px at which they are compared
_BLOCKS = 6  # across and down that must agree each
AGREES = 0.75  # share of the edges, in the blocks where they agree least
_COLOURS = 16.0  # of 255, how much the colours of a block may differ
_FAINT = 6.0  # of 255, the norm of a block's edges that says nothing


@dataclass(frozen=True)
class Alike:
    """Picture `one` shows what picture `other` shows, or a part of it."""

    one: int
    other: int
    mirrored: bool
    cropped: bool
    how: float  # share of their edges that agree where they agree least; 1 is all


def alike(pictures: Sequence[Pixels]) -> list[Alike]:
    """Each pair that shows the same, once; pictures are (h, w, 3) uint8, some 256 px on the longer side."""
    if len(pictures) < 2:
        return []
    found: dict[tuple[int, int], Alike] = {}
    for whole, part, mirrored, window in _candidates(pictures):
        pair = (min(whole, part), max(whole, part))
        how = _agreement(pictures[whole], pictures[part], mirrored, window)
        if how > AGREES and how > (found[pair].how if pair in found else 0):
            cropped = min(window[2] - window[0], window[3] - window[1]) < _PARTS[1] - 0.01
            found[pair] = Alike(part, whole, mirrored, cropped, how)
    return sorted(found.values(), key=lambda one: -one.how)


# A window's side moved, both of a direction, all of them from the middle, its width.
_ALONG = (
    (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (1, 0, 1, 0), (0, 1, 0, 1), (-1, -1, 1, 1), (-1, 0, 1, 0),
)  # fmt: skip
Window = tuple[float, float, float, float]  # left, top, right, bottom as shares of the sides


def _candidates(pictures: Sequence[Pixels]) -> Iterator[tuple[int, int, bool, Window]]:
    """(whole, part, mirrored, window): what may be the same, the nearest few of each part."""
    squares = np.stack([_square(one, _SIDE) for one in pictures])  # (N, 64, 64)
    places = [(part, at) for part in _PARTS for at in np.arange(0, 1 - part + 1e-6, _STEP)]
    pool = np.concatenate([_pooling(part, at) for part, at in places])
    shapes = [(x, y, w / h) for x, (w, _) in enumerate(places) for y, (h, _) in enumerate(places)]
    pairs = [(x, y) for x, y, shape in shapes if 1 / _STRETCH < shape < _STRETCH]
    wholes = np.stack([_cells(squares, pool[:_CELLS]), _cells(squares[:, :, ::-1], pool[:_CELLS])])  # (2, N, 64)
    count = len(pictures)
    best = np.full((2, count, count), -1.0, np.float32)  # mirrored, part, whole
    where = np.zeros((2, count, count), np.int32)
    columns, rows = np.array([x for x, _ in pairs]), np.array([y for _, y in pairs])
    for begin in range(count):
        pooled = (pool @ squares[begin] @ pool.T).reshape(len(places), _CELLS, len(places), _CELLS)
        windows = _normal(pooled.transpose(0, 2, 1, 3)[rows, columns].reshape(len(pairs), -1))
        for flip in (0, 1):
            like = windows @ wholes[flip].T  # (windows, N)
            at = like.argmax(axis=0)
            best[flip, :, begin], where[flip, :, begin] = like[at, np.arange(count)], at
    for flip in (0, 1):
        np.fill_diagonal(best[flip], -1.0)
    for part in range(count):
        order = np.argsort(best[:, part].ravel())[::-1][:_NEAREST]
        for flip, whole in (divmod(int(at), count) for at in order):
            if best[flip, part, whole] > _COARSE:
                x, y = pairs[where[flip, part, whole]]
                (wide, left), (high, top) = places[x], places[y]
                yield whole, part, bool(flip), (left, top, left + wide, top + high)


def _square(picture: Pixels, side: int) -> Pixels:
    """Grey, (side, side) float32."""
    return np.asarray(Image.fromarray(picture).convert("L").resize((side, side), Image.Resampling.BOX), np.float32)


def _pooling(part: float, at: float) -> Pixels:
    """How the pixels of a row are averaged into the cells of a window; (cells, side)."""
    edges = np.linspace(at, at + part, _CELLS + 1) * _SIDE
    reach = np.clip(edges[1:, None], np.arange(_SIDE), np.arange(1, _SIDE + 1))
    begin = np.clip(edges[:-1, None], np.arange(_SIDE), np.arange(1, _SIDE + 1))
    weights = reach - begin
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


def _cells(squares: Pixels, pool: Pixels) -> Pixels:
    return _normal((pool @ squares @ pool.T).reshape(len(squares), -1))


def _normal(rows: Pixels) -> Pixels:
    """Each row without its mean and of length 1; of those that are flat nothing is left."""
    rows = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.where(length > 8.0, rows / np.maximum(length, 1e-6), 0).astype(np.float32)


def _agreement(whole: Pixels, part: Pixels, mirrored: bool, window: Window) -> float:
    """How well the edges of `part` are those of the window of `whole`, in the block where they agree least.

    The window is moved and stretched a little to where they agree best.
    """
    picture, other = Image.fromarray(whole), Image.fromarray(part[:, ::-1] if mirrored else part)
    grey, shown = _grey(picture), _edges(_grey(other), (0, 0, 1, 1))
    best, reach = _correlation(_edges(grey, window), shown), _STEP / 2
    while reach > 0.004:
        ways = [_moved(window, side, by) for side in range(len(_ALONG)) for by in (-reach, reach)]
        scores = {one: _correlation(_edges(grey, one), shown) for one in dict.fromkeys(ways) if one != window}
        nearest = max(scores, key=lambda one: scores[one], default=window)
        if nearest != window and scores[nearest] > best + 1e-4:
            best, window = scores[nearest], nearest
        else:
            reach /= 2
    return _worst_block(_coloured(picture, window), _coloured(other, (0, 0, 1, 1)))


def _moved(window: Window, side: int, by: float) -> Window:
    """Moved as _ALONG says."""
    left, top, right, bottom = (
        min(1.0, max(0.0, one + by * step)) for one, step in zip(window, _ALONG[side], strict=True)
    )
    return (left, top, right, bottom) if right - left > 0.4 and bottom - top > 0.4 else window


def _grey(picture: Image.Image) -> Image.Image:
    """The mean of the colours, as fractions."""
    return Image.fromarray(np.asarray(picture, np.float32).mean(axis=2))


def _small(picture: Image.Image, window: Window) -> Pixels:
    box = tuple(one * side for one, side in zip(window, picture.size * 2, strict=True))
    small = picture.resize((_CLOSE, _CLOSE), Image.Resampling.BILINEAR, box)  # type: ignore[arg-type]
    return np.asarray(small, np.float32)


def _edges(grey: Image.Image, window: Window) -> Pixels:
    """The gradient of grey in a window, across and down; (2, side, side)."""
    down, across = np.gradient(_small(grey, window))
    return np.stack([across, down])


def _coloured(picture: Image.Image, window: Window) -> Pixels:
    """The gradient of grey and the colours in a window; (4, side, side): across, down, and two of colour."""
    pixels = _small(picture, window)
    grey = pixels.mean(axis=2)
    down, across = np.gradient(grey)
    return np.stack([across, down, pixels[..., 0] - grey, pixels[..., 2] - grey])


def _correlation(one: Pixels, other: Pixels) -> float:
    length = float(np.linalg.norm(one)) * float(np.linalg.norm(other))
    return float(np.vdot(one, other)) / max(length, 1e-6)


def _worst_block(one: Pixels, other: Pixels) -> float:
    """The share of the edges that agree, in the blocks that agree least; where colours differ it is nothing."""
    a, b = (_in_blocks(pixels) for pixels in (one, other))
    norm = (a[:2] ** 2).sum(axis=(0, 3)) + (b[:2] ** 2).sum(axis=(0, 3))
    agrees = 2 * (a[:2] * b[:2]).sum(axis=(0, 3)) / np.maximum(norm, 1e-6)
    said = norm > max(_FAINT**2 * 2, norm.mean() * 0.1)
    if not said.any() or np.percentile(np.abs(a[2:] - b[2:]).mean(axis=(0, 3)), 90) > _COLOURS:
        return 0.0
    return float(np.percentile(agrees[said], 15))


def _in_blocks(pixels: Pixels) -> Pixels:
    """(4, side, side) to (4, blocks, blocks, pixels of a block)."""
    part = _CLOSE // _BLOCKS
    return pixels.reshape(4, _BLOCKS, part, _BLOCKS, part).swapaxes(2, 3).reshape(4, _BLOCKS, _BLOCKS, -1)
