"""More ways to draw than the three of the base, each with the words that ask for it; without them none is drawn.

A base that can change its way of drawing on demand needs less of a LoRA to be led to one more. None is a look, a
character or a thing of the example sets or of those in `tests/bench`: of the sets that those take faces from, none is.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from lora_gui.starter.recipe.pictures import BASE_SETS, IconSet

INK = 30.0  # of 255, how dark lines are
FLATTENED = {"fxemoji"}  # sets that write their names without hyphens

Change = Callable[[np.ndarray], np.ndarray]  # (H, W, 4) float32, 0..255, RGBA, to the same


@dataclass(frozen=True)
class Look:
    """A way of drawing: an icon set of its own, or a change to the pictures of one of the base's sets."""

    words: str
    set: str = ""  # where it has one
    change: Change | None = None


def _plane(picture: np.ndarray, channel: int, radius: float) -> np.ndarray:
    """One channel, blurred; (H, W) float32."""
    plain = Image.fromarray(picture[..., channel].round().astype(np.uint8))
    return np.asarray(plain.filter(ImageFilter.GaussianBlur(radius)), np.float32)


def _on(colours: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    return np.concatenate([colours, opacity[..., None]], axis=-1)


def grey(picture: np.ndarray) -> np.ndarray:
    """Brightness alone."""
    bright = picture[..., :3] @ np.array([0.30, 0.59, 0.11], np.float32)
    return _on(bright[..., None].repeat(3, -1), picture[..., 3])


def pale(picture: np.ndarray) -> np.ndarray:
    """As if white had been mixed in."""
    return _on(255 - 0.45 * (255 - picture[..., :3]), picture[..., 3])


def dark(picture: np.ndarray) -> np.ndarray:
    """As by night: dim and bluish."""
    return _on(picture[..., :3] * np.array([0.35, 0.4, 0.6], np.float32) + 8, picture[..., 3])


def lines(picture: np.ndarray) -> np.ndarray:
    """Its edges alone, dark; the background shows through."""
    opacity = picture[..., 3:] / 255
    flat = np.concatenate([picture[..., :3] * opacity, picture[..., 3:]], axis=-1)
    steps = [np.abs(flat - np.roll(flat, 2, axis)).max(-1) for axis in (0, 1)]
    edge = (np.maximum(*steps) / 60).clip(0, 1) * 255
    return _on(np.full_like(picture[..., :3], INK), edge)


def relief(picture: np.ndarray) -> np.ndarray:
    """Raised and lit from above and the left."""
    height = _plane(picture, 3, 7)
    slope = sum(np.gradient(height, axis=axis) for axis in (0, 1)) / 14
    light = 1 + 0.5 * slope.clip(-1, 1)
    shine = 70 * (slope - 0.35).clip(0, 1)
    return _on(picture[..., :3] * light[..., None] + shine[..., None], picture[..., 3])


def watercolour(picture: np.ndarray) -> np.ndarray:
    """Blurred and thin, with darker edges."""
    opacity = np.maximum(_plane(picture, 3, 2), 1)
    premultiplied = picture * (picture[..., 3:] / 255)
    colours = np.stack([_plane(premultiplied, i, 2) for i in range(3)], axis=-1) / (opacity[..., None] / 255)
    rim = (picture[..., 3] - _plane(picture, 3, 5)).clip(0, 255) / 255
    return _on(colours, picture[..., 3] * (0.55 + 0.9 * rim).clip(0, 1))


LOOKS = (
    Look("in soft shading", "noto"),
    Look("in simple shapes", "twemoji"),
    Look("in flat colours", "fluent-emoji-flat"),
    Look("in round shapes", "noto-v1"),
    Look("with a gloss", "emojione"),
    Look("in plain shapes", "fxemoji"),
    Look("in black and white", "fluent-emoji-high-contrast"),
    Look("in grey", change=grey),
    Look("in pale colours", change=pale),
    Look("in dark colours", change=dark),
    Look("in thin lines", change=lines),
    Look("in relief", change=relief),
    Look("in watercolour", change=watercolour),
)


def render_looks(names: tuple[str, ...], sets: dict[str, IconSet]) -> tuple[np.ndarray, np.ndarray]:
    """Every name in every look that has it; (row, SIZE, SIZE, 4) uint8, and (row, 2) which name in which look."""
    found = {
        (number, at): drawn
        for at, look in enumerate(LOOKS)
        for number, name in enumerate(names)
        if (drawn := draw(look, number + at, name, sets)) is not None
    }
    return np.stack(list(found.values())), np.array(list(found))


def draw(look: Look, number: int, name: str, sets: dict[str, IconSet]) -> np.ndarray | None:
    """One thing in one look, (SIZE, SIZE, 4) uint8; None where its set has none, and for a face of a further set."""
    if not look.change:
        icons = sets[look.set]
        own = name.replace("-", "") if look.set in FLATTENED else name
        return icons.render(own) if own in icons and (look.set in BASE_SETS or "face" not in name) else None
    plain = sets[BASE_SETS[number % len(BASE_SETS)]].render(name).astype(np.float32)
    return look.change(plain).clip(0, 255).round().astype(np.uint8)
