"""Marks that stand in several pictures at the same place: watermarks in corners, bars of an interface.

Unrelated pictures share no edges at any place; those with the same mark do (Dekel et al. 2017, On the Effectiveness of
Visible Watermarks).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from lora_gui.studio.doctor.look import Pixels

FEWEST = 3  # pictures that make a mark
_WIDTH = 256  # px to which pictures are brought: marks are made as wide as the picture asks for
_PLACES = {  # height and width in px, and where it lies: 1 above, -1 below; 1 on the left, -1 on the right, 0 all along
    "the lower right corner": (40, 144, -1, -1),
    "the lower left corner": (40, 144, -1, 1),
    "the upper right corner": (40, 144, 1, -1),
    "the upper left corner": (40, 144, 1, 1),
    "the upper edge": (28, 256, 1, 0),
    "the lower edge": (28, 256, -1, 0),
}
_SHIFTS = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]  # px by which a mark may stand beside itself
_SEED, _SEEDS = 0.15, 5  # correlation and number of pictures from which a mark is looked for
_ALIKE = 0.26  # correlation with the mean of the others that have a mark, from which a picture has it
_STROKES, _ALSO = 90, 0.25  # percentile of the mark's edges that are its strokes; correlation there that is enough
_ROUNDS = 6  # of looking who has it
_LOUD = 8.0  # of 255; steeper edges count no more than this, so that what is behind a mark does not drown it
_FAINT = 0.1  # of 255, mean of the edges of a place where there is nothing
_RIM, _LEAVES = 4, 0.3  # px; share of its edges, by area, that what is no mark has where it leaves the place
_FIRM, _WIDE = 0.32, 0.4  # mean correlation of those that have it; share of its edges, by area, at each end of a bar
_SAMPLE = 64  # pictures by which marks are found; the others are held against them


@dataclass(frozen=True)
class Mark:
    """What the pictures of these numbers have in common at a place."""

    place: str
    pictures: tuple[int, ...]

    @property
    def is_bar(self) -> bool:
        return self.place.endswith("edge")


def marks(pictures: Sequence[Pixels]) -> list[Mark]:
    """Each mark once; pictures are (h, w, 3) uint8, none of them the same as another."""
    greys = [_grey(picture) for picture in pictures]
    found: list[Mark] = []
    for place, (height, width, down, right) in _PLACES.items():
        edges = np.stack([_edges(grey, height, width, down, right) for grey in greys]) if greys else np.zeros(0)
        for members in _groups(edges, down, right) if len(greys) >= FEWEST else ():
            same = [one for one in found if 2 * len(set(members) & set(one.pictures)) > len(members)]
            if not any(_near(one.place, place) for one in same):
                found.append(Mark(place, tuple(members)))
    return found


def _near(one: str, other: str) -> bool:
    """Whether two places overlap: a corner and its edge, two corners of an edge."""
    return one.split()[1] == other.split()[1]


def _grey(picture: Pixels) -> Pixels:
    image = Image.fromarray(picture).convert("L")
    height = max(1, round(image.height * _WIDTH / image.width))
    wide = image.resize((_WIDTH, height), Image.Resampling.BICUBIC)
    return np.asarray(wide.filter(ImageFilter.GaussianBlur(0.5)), np.float32)


def _edges(grey: Pixels, height: int, width: int, down: int, right: int) -> Pixels:
    """The gradient at a place, (2, H, W) of length 1, or nothing; what is louder than a mark is held down."""
    padded = np.pad(grey, ((0, max(0, height - len(grey))), (0, 0)), mode="edge")
    part = padded[:height] if down > 0 else padded[-height:]
    part = part[:, -width:] if right < 0 else part[:, :width]
    edges = np.stack([np.gradient(part, axis=1), np.gradient(part, axis=0)]).clip(-_LOUD, _LOUD)
    if np.abs(edges).mean() < _FAINT:
        return np.zeros_like(edges)
    return np.asarray(edges / np.linalg.norm(edges), np.float32)


def _groups(edges: Pixels, down: int, right: int) -> Iterator[list[int]]:
    """The pictures that share what is at a place, in groups of FEWEST or more."""
    sample = np.arange(0, len(edges), -(-len(edges) // _SAMPLE))
    like = _likeness(edges[sample], edges[sample])
    np.fill_diagonal(like, 0)
    free = np.ones(len(edges), bool)
    while True:
        like[:, ~free[sample]] = like[~free[sample]] = 0
        nearest = np.argsort(like, axis=1)[:, ::-1][:, : _SEEDS - 1]
        first = int(np.take_along_axis(like, nearest, axis=1)[:, : FEWEST - 1].mean(axis=1).argmax())
        seeds = [one for one in nearest[first] if like[first, one] > _SEED]
        if len(seeds) < FEWEST - 1:
            return
        proof, has_it = _settled(edges, sample, np.array([first, *seeds]), bool(right))
        is_new, free[sample[first]] = bool(free[has_it].all()), False
        if len(has_it) >= FEWEST and is_new:
            free[has_it] = False
            if _is_mark(edges[proof], down, right):
                yield has_it.tolist()


def _settled(edges: Pixels, sample: Pixels, group: Pixels, is_small: bool) -> tuple[Pixels, Pixels]:
    """What settles when the `group` among a sample is asked who has the same, and all pictures that have it too."""
    few = edges[sample]
    for _ in range(_ROUNDS):
        mark, has_it = _shared(few, few, group, group)
        if np.array_equal(has_it, group) or len(has_it) < FEWEST:
            break
        group = has_it
    mark, has_it = _shared(edges, few, sample[group], group)
    if len(has_it) < FEWEST or not is_small:
        return has_it, has_it
    # Of what fills little of its place its strokes alone count, and not what is around them.
    strokes = np.linalg.norm(mark, axis=0) > np.percentile(np.linalg.norm(mark, axis=0), _STROKES)
    also = np.flatnonzero(_likeness(_unit(edges * strokes), _unit(mark[None] * strokes))[:, 0] > _ALSO)
    return has_it, np.union1d(has_it, also)


def _shared(edges: Pixels, few: Pixels, named: Pixels, group: Pixels) -> tuple[Pixels, Pixels]:
    """What a group of `few` have in common, and who of all has it; none counts as proof of itself.

    `named` are the numbers of the group among all.
    """
    placed = few[group].copy()
    for at in range(len(group)):
        rest = np.delete(placed, at, axis=0).mean(axis=0)
        moved = [np.roll(placed[at], by, axis=(1, 2)) for by in _SHIFTS]
        placed[at] = moved[int(np.argmax([(one * rest).sum() for one in moved]))]
    mean = placed.mean(axis=0)
    scores = _likeness(edges, _unit(mean[None]))[:, 0]
    for at, one in enumerate(named):
        rest = mean * len(group) - placed[at]
        scores[one] = (placed[at] * rest).sum() / max(float(np.linalg.norm(rest)), 1e-6)
    return mean, np.flatnonzero(scores > _ALIKE)


def _unit(edges: Pixels) -> Pixels:
    """Each of length 1; nothing stays nothing."""
    length = np.sqrt((edges**2).sum(axis=(1, 2, 3), keepdims=True))
    return np.asarray(edges / np.maximum(length, 1e-6))


def _likeness(one: Pixels, other: Pixels) -> Pixels:
    """The best correlation of each with each, moved by a pixel or not; (N, M)."""
    flat = one.reshape(len(one), -1)
    moved = [np.roll(other, by, axis=(2, 3)).reshape(len(other), -1) for by in _SHIFTS]
    return np.asarray(np.max([flat @ one.T for one in moved], axis=0))


def _is_mark(edges: Pixels, down: int, right: int) -> bool:
    """Whether what these share at a place is a mark: always the same, and within the place.

    An outline that several drawings have there goes on into the picture, or does not reach from side to side as a bar.
    """
    rest = edges.sum(axis=0) - edges
    firm = float((edges * _unit(rest)).sum(axis=(1, 2, 3)).mean())
    shared = (edges.sum(axis=0) ** 2 - (edges**2).sum(axis=0)).sum(axis=0)  # of each pair; what is by chance is 0
    usual = float(shared.mean())
    rims = [shared[-_RIM:] if down > 0 else shared[:_RIM]]
    rims += [shared[:, -_RIM:] if right > 0 else shared[:, :_RIM]] if right else []
    ends = [] if right else [shared[:, : _WIDTH // 8], shared[:, -_WIDTH // 8 :]]
    within = all(float(rim.mean()) < _LEAVES * usual for rim in rims)
    return firm > _FIRM and within and all(float(end.mean()) > _WIDE * usual for end in ends)
