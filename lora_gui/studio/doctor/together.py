"""What can be said of the pictures of a set together: the same ones, marks, other styles, too little variety."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from lora_gui.studio.doctor.alike import Alike, alike
from lora_gui.studio.doctor.finding import Finding, listed
from lora_gui.studio.doctor.look import Look, Pixels
from lora_gui.studio.doctor.marks import marks
from lora_gui.studio.doctor.single import is_dark, is_washed

FEW, ENOUGH = 5, 10  # pictures
_FEWEST = 5  # of which something can be said together
_FLOORS = np.array([0.06, 0.08, 0.12, 0.03, 0.2, 0.06])  # of STYLE: differences that are usual among pictures of a kind
_FAR, _CAPPED = 2.6, 8.0  # root of the mean square of the distances, and what one of them counts at most
_GREY, _COLOUR = 0.03, 0.1  # how colourful a black and white picture is at most, and one in colour at least
_GAP, _PART = 0.25, 0.2  # of how much is flat, between drawings and photographs; of the set that is either
_RING, _SAME_RING = 8, 12.0  # cells across; of 255, mean difference of backgrounds that are the same
_MOST, _SAMEY = 0.6, 0.8  # share of pictures with one background; correlation of pictures that are built alike


class Found(NamedTuple):
    """Findings of single pictures by their number, and of all of them."""

    each: dict[int, list[Finding]]
    set: list[Finding]


def checks(names: Sequence[str], looks: Sequence[Look]) -> Found:
    """What is wrong with the pictures together; `names` are what the user calls them."""
    found = Found({}, [])
    pairs = alike([one.small for one in looks]) + _equal(looks)
    kept = _same(names, looks, pairs, found)
    _marked(names, looks, kept, found)
    _styles(names, looks, found)
    found.set.extend(_few(len(looks)))
    found.set.extend(_variety([looks[at] for at in kept]))
    return found


def _equal(looks: Sequence[Look]) -> list[Alike]:
    """Pictures that are the same to the pixel, whatever they show."""
    seen: dict[bytes, int] = {}
    pairs = []
    for at, one in enumerate(looks):
        first = seen.setdefault(one.small.tobytes(), at)
        pairs += [Alike(at, first, False, False, 1.0)] if first != at else []
    return pairs


def _same(names: Sequence[str], looks: Sequence[Look], pairs: Sequence[Alike], found: Found) -> list[int]:
    """Of pictures that show the same the best is kept: the largest, sharpest, first. Returns what is kept."""
    parent = list(range(len(looks)))

    def top(one: int) -> int:
        while parent[one] != one:
            one = parent[one]
        return one

    def worth(at: int) -> tuple[float, float, int]:
        return looks[at].width * looks[at].height, looks[at].sharp, -at

    for pair in pairs:
        first, second = sorted((top(pair.one), top(pair.other)), key=worth)
        parent[first] = second
    by_pair = {frozenset((pair.one, pair.other)): pair for pair in pairs}
    for at in range(len(looks)):
        best = top(at)
        if best == at:
            continue
        how = [word for word in ("mirrored", "cropped") if getattr(by_pair.get(frozenset((at, best))), word, False)]
        says = f"{names[at]} shows the same as {names[best]}{', ' + ' and '.join(how) if how else ''}."
        found.each.setdefault(at, []).append(Finding("same", says, "Keep one of them: the others count twice."))
    return [at for at in range(len(looks)) if top(at) == at]


def _marked(names: Sequence[str], looks: Sequence[Look], kept: Sequence[int], found: Found) -> None:
    for mark in marks([looks[at].small for at in kept]):
        members = [kept[at] for at in mark.pictures]
        kind, what, where = ("bar", "the same bar", "at") if mark.is_bar else ("watermark", "the same mark", "in")
        says = f"{len(members)} of {len(looks)} pictures have {what} {where} {mark.place}"
        says += f": {listed(names[at] for at in members)}."
        remedy = "Crop it off, or use copies without it: it is learnt, and comes back in the drawings."
        found.set.append(Finding(kind, says, remedy))
        for at in members:
            said = f"{names[at]} has {what} as {len(members) - 1} others."
            found.each.setdefault(at, []).append(Finding(kind, said, remedy))


def _styles(names: Sequence[str], looks: Sequence[Look], found: Found) -> None:
    """Two kinds of pictures, or single ones that are of another kind than the rest."""
    if len(looks) < _FEWEST:
        return
    styles = np.array([one.style for one in looks])
    flat = np.sort(styles[:, 0])
    least = max(2, round(_PART * len(looks)))
    gaps = np.diff(flat)[least - 1 : len(flat) - least]
    if gaps.size and gaps.max() > _GAP:
        border = least + int(gaps.argmax())
        says = f"{len(flat) - border} of {len(flat)} pictures are flat as drawings, the others are not."
        remedy = "For a style, choose one of the two: a mixture is learnt as neither."
        found.set.append(Finding("styles", says, remedy))
        return
    middle = np.median(styles, axis=0)
    spread = 1.4826 * np.median(np.abs(styles - middle), axis=0)
    far = np.minimum(np.abs(styles - middle) / np.maximum(spread, _FLOORS), _CAPPED)
    for at, distance in enumerate(np.sqrt((far**2).mean(axis=1))):
        colourless = styles[at, 1] < _GREY and middle[1] > _COLOUR
        if (distance > _FAR or colourless) and not (is_dark(looks[at]) or is_washed(looks[at])):
            how = "is black and white, unlike the rest" if colourless else "looks unlike the rest"
            says = f"{names[at]} {how}."
            found.each.setdefault(at, []).append(Finding("outlier", says, "Remove it, unless it is meant."))


def _few(count: int) -> Iterator[Finding]:
    if count < ENOUGH:
        only = "There is only 1 picture" if count == 1 else f"There are only {count} pictures"
        yield Finding("few", f"{only}.", "15 to 30 that differ teach far more than a few." if count else "Add some.")


def _variety(looks: Sequence[Look]) -> Iterator[Finding]:
    if len(looks) < _FEWEST:
        return
    cells = np.stack([_cells(one.small) for one in looks])  # (N, 8, 8, 3)
    ring = np.ones((_RING, _RING), bool)
    ring[1:-1, 1:-1] = False
    edges = cells[:, ring].reshape(len(looks), -1)
    near = np.array([np.abs(edges - one).mean(axis=1) < _SAME_RING for one in edges])
    most = int(near.sum(axis=1).max())
    if most >= _MOST * len(looks):
        says = f"{most} of {len(looks)} have the same background."
        yield Finding("background", says, "Add some with other backgrounds, or the LoRA brings this one everywhere.")
    flat = cells.mean(axis=3).reshape(len(looks), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 8.0)
    like = (flat @ flat.T)[~np.eye(len(looks), dtype=bool)]
    if float(np.median(like)) > _SAMEY:
        remedy = "Add other views, sizes and places of what is to be learnt."
        yield Finding("samey", "The pictures are built alike.", remedy)


def _cells(pixels: Pixels) -> Pixels:
    rows = np.array_split(pixels.astype(np.float32), _RING, axis=0)
    return np.stack([[part.mean(axis=(0, 1)) for part in np.array_split(row, _RING, axis=1)] for row in rows])
