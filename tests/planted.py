"""Picture sets that the tests make themselves: photograph-like, drawn and of icons; and the faults planted in them."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

SIZES = ((960, 720), (720, 960), (840, 840), (1000, 700))


def photograph(chance: np.random.Generator, size: tuple[int, int] = (960, 720)) -> Image.Image:
    """What a camera might see: light that falls off, things with shaded surfaces before a textured ground, grain."""
    light = _smooth(chance, size, 3) * 90
    ground = _colour(chance, 40, 190) + light + _smooth(chance, size, 40) * chance.uniform(8, 40)
    picture = np.where(_below(chance, size)[..., None], ground, _colour(chance, 60, 220) + light)
    for _ in range(chance.integers(5, 14)):
        _put(chance, picture)
    grain = chance.standard_normal((size[1], size[0], 1), np.float32) * chance.uniform(1.5, 5)
    return Image.fromarray((picture + grain).clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.6))


def _put(chance: np.random.Generator, picture: np.ndarray) -> None:
    """Put a thing with a shaded, textured surface somewhere into a picture (H, W, 3)."""
    height, width = picture.shape[:2]
    centre, reach = chance.uniform(0.05, 0.95, 2) * (width, height), chance.uniform(0.05, 0.25, 2) * min(width, height)
    turn, colour, power = chance.uniform(0, np.pi), _colour(chance, 10, 245), chance.choice([2, 2, 8])
    box = [(max(0, int(c - 1.5 * max(reach))), int(c + 1.5 * max(reach)) + 1) for c in centre]
    part = picture[slice(*box[1]), slice(*box[0])]
    down, across = np.mgrid[: part.shape[0], : part.shape[1]].astype(np.float32)
    x, y = across + box[0][0] - centre[0], down + box[1][0] - centre[1]
    x, y = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    far = np.abs(x / reach[0]) ** power + np.abs(y / reach[1]) ** power
    shade = 1 - 0.6 * np.clip(x / reach[0] * 0.5 + far * 0.4, 0, 1)
    skin = _smooth(chance, part.shape[1::-1], 20) * chance.uniform(0, 50)
    part[...] = np.where((far < 1)[..., None], colour * shade[..., None] + skin, part)


def _colour(chance: np.random.Generator, low: float, high: float) -> np.ndarray:
    return chance.uniform(low, high, 3).astype(np.float32)


def drawing(chance: np.random.Generator, size: tuple[int, int] = (840, 840)) -> Image.Image:
    """A flat drawing: shapes in few colours with dark outlines."""
    width, height = size
    colours = [tuple(int(c) for c in chance.integers(40, 255, 3)) for _ in range(6)]
    large = Image.new("RGB", (width * 2, height * 2), colours[0])  # made smaller, so that edges are smooth
    pen = ImageDraw.Draw(large)
    for _ in range(chance.integers(5, 15)):
        x, y = chance.uniform(0, 1.8, 2) * size
        w, h = chance.uniform(0.2, 1.2, 2) * min(size)
        fill, line = colours[chance.integers(1, 6)], int(chance.integers(6, 14))
        match int(chance.integers(4)):
            case 0:
                pen.ellipse((x, y, x + w, y + h), fill, (20, 20, 30), line)
            case 1:
                pen.rounded_rectangle((x, y, x + w, y + h), min(w, h) / 5, fill, (20, 20, 30), line)
            case 2:
                points = [(x + a * w, y + b * h) for a, b in chance.uniform(0, 1, (5, 2))]
                pen.polygon(points, fill, (20, 20, 30), line)
            case _:
                pen.arc((x, y, x + w, y + h), *sorted(chance.uniform(0, 360, 2)), (20, 20, 30), line)
    return large.reduce(2)


def icons(folder: Path, count: int, chance: np.random.Generator, side: int = 640) -> list[Image.Image]:
    """Emoji on plain grounds, of a set of icons under an open licence that npm has."""
    from lora_gui.starter.recipe import pictures

    pictures.SIZE = side
    found = pictures.fetch(("noto",), folder)["noto"]
    names = sorted(name for name in found.data["icons"] if not any(word in name for word in _ALIKE))
    made = []
    for name in chance.choice(names, count, replace=False):
        icon = Image.fromarray(found.render(str(name)))
        ground = Image.new("RGBA", icon.size, tuple(int(c) for c in chance.integers(60, 255, 3)))
        ground.alpha_composite(icon)
        made.append(ground.convert("RGB"))
    return made


_ALIKE = ("skin-tone", "flag", "clock", "keycap", "button", "-men-", "-women-", "family", "couple", "kiss", "people")


def made(kind: str, count: int, seed: int, folder: Path | None = None) -> list[Image.Image]:
    """A clean set of a kind, the same one for the same seed; `folder` is where icons are kept."""
    chance = np.random.default_rng(seed)
    if kind == "icons":
        assert folder is not None
        return icons(folder, count, chance)
    draw = {"photographs": photograph, "drawings": drawing}[kind]
    return [draw(chance, SIZES[n % len(SIZES)]) for n in range(count)]


def clean(picture: Image.Image, chance: np.random.Generator) -> Image.Image:
    return picture


def mirrored(picture: Image.Image, chance: np.random.Generator) -> Image.Image:
    return squeezed(ImageOps.mirror(picture), 85)


def again(picture: Image.Image, chance: np.random.Generator) -> Image.Image:
    """Saved anew, smaller, a little brighter."""
    small = picture.resize((picture.width * 3 // 4, picture.height * 3 // 4), Image.Resampling.LANCZOS)
    return squeezed(small.point(lambda value: min(255, value * 1.05)), 80)


def cropped(picture: Image.Image, chance: np.random.Generator) -> Image.Image:
    """Three quarters to nine tenths of each side of it."""
    part = chance.uniform(0.72, 0.92, 2) * picture.size
    left, top = chance.uniform(0, 1, 2) * (picture.size - part)
    return squeezed(picture.crop((int(left), int(top), int(left + part[0]), int(top + part[1]))), 88)


def blurred(picture: Image.Image, chance: np.random.Generator) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(min(picture.size) / 130))


def bordered(picture: Image.Image, chance: np.random.Generator) -> Image.Image:
    """Between bars, or in a frame."""
    wide = int(min(picture.size) * chance.uniform(0.03, 0.12))
    colour = (0, 0, 0) if chance.random() < 0.5 else (255, 255, 255)
    edges = [(0, wide), (wide, 0), (wide, wide)][chance.integers(3)]
    return ImageOps.expand(picture, edges, colour)


def marked(picture: Image.Image, chance: np.random.Generator) -> Image.Image:
    """With somebody's name in its corner, half transparent."""
    font, name = ImageFont.load_default(96), "stockpix.example"
    sign = Image.new("RGBA", (int(font.getlength(name)) + 16, 120))
    pen = ImageDraw.Draw(sign)
    pen.text((8, 0), name, (255, 255, 255, 170), font, stroke_width=4, stroke_fill=(0, 0, 0, 120))
    wide = round(picture.width * 0.36)
    sign = sign.resize((wide, round(wide * sign.height / sign.width)), Image.Resampling.LANCZOS)
    at = (round(picture.width * 0.975) - sign.width, picture.height - round(picture.width * 0.025) - sign.height)
    layer = picture.convert("RGBA")
    layer.alpha_composite(sign, at)
    return layer.convert("RGB")


def screen(picture: Image.Image, chance: np.random.Generator) -> Image.Image:
    """As a telephone's screen: a bar with the time above it."""
    high = picture.width // 16
    shown = Image.new("RGB", (picture.width, picture.height + high), (18, 18, 22))
    shown.paste(picture, (0, high))
    pen, font = ImageDraw.Draw(shown), ImageFont.load_default(high * 0.5)
    pen.text((high, high * 0.2), "9:41", (240, 240, 240), font)
    pen.rounded_rectangle((picture.width - 2 * high, high * 0.3, picture.width - high, high * 0.7), 3, (240, 240, 240))
    pen.ellipse((picture.width - 3 * high, high * 0.3, picture.width - 2.6 * high, high * 0.7), (240, 240, 240))
    return shown


def darkened(picture: Image.Image, chance: np.random.Generator) -> Image.Image:
    return picture.point(lambda value: value * 0.12)


def washed(picture: Image.Image, chance: np.random.Generator) -> Image.Image:
    return picture.point(lambda value: 150 + value * 0.17)


def squeezed(picture: Image.Image, quality: int) -> Image.Image:
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=quality)
    with Image.open(data) as found:
        return found.convert("RGB")


Fault = Callable[[Image.Image, np.random.Generator], Image.Image]


def _smooth(chance: np.random.Generator, size: tuple[int, int], cells: int) -> np.ndarray:
    """Smooth noise of about -1..1 with so many cells across; (H, W, 1)."""
    few = chance.normal(0, 0.5, (max(2, cells * size[1] // size[0]), cells)).astype(np.float32)
    return np.asarray(Image.fromarray(few).resize(size, Image.Resampling.BICUBIC))[..., None]


def _below(chance: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Whether each pixel lies below an uneven horizon; (H, W)."""
    line = chance.uniform(0.3, 0.7) * size[1] + _smooth(chance, (size[0], 4), 6)[0, :, 0] * size[1] * 0.1
    return np.arange(size[1])[:, None] > line[None]
