"""Turn the icon sets into pictures: fetched from npm, rendered once, composited on a named background."""

import io
import json
import subprocess
import tarfile
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from resvg_py import svg_to_bytes

from lora_gui.starter.recipe.concepts import COLOURS, KEPT_OUT

SIZE = 128  # px, width and height of every picture
MARGIN = 8  # px of background left on each side

# The three sets the base is trained on, those of further looks, then what only example sets and judges use.
PACKAGES = {
    "noto": "@iconify-json/noto@1.2.9",
    "twemoji": "@iconify-json/twemoji@1.2.5",
    "fluent-emoji-flat": "@iconify-json/fluent-emoji-flat@1.2.6",
    "noto-v1": "@iconify-json/noto-v1@1.2.5",
    "emojione": "@iconify-json/emojione@1.2.3",
    "fxemoji": "@iconify-json/fxemoji@1.2.2",
    "fluent-emoji-high-contrast": "@iconify-json/fluent-emoji-high-contrast@1.2.6",
    "fluent-emoji": "@iconify-json/fluent-emoji@1.2.7",
    "streamline-emojis": "@iconify-json/streamline-emojis@1.2.4",
}
BASE_SETS = ("noto", "twemoji", "fluent-emoji-flat")
LOOK_SETS = ("noto-v1", "emojione", "fxemoji", "fluent-emoji-high-contrast")
COMIC_SET, COMIC_OF = "fluent-emoji-comic", "fluent-emoji-flat"  # with a bold outline, which no set of the base has
EXAMPLE_SETS = (*BASE_SETS, "fluent-emoji", COMIC_SET)
OUTLINE = 8  # px, how bold it is
INK = 12  # of 255, how dark


def fetch(sets: tuple[str, ...], folder: Path) -> dict[str, "IconSet"]:
    """Read each icon set from `folder`, fetching its npm package first where it is missing (needs `npm`)."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for name in sets:
        kind, package = (ComicSet, COMIC_OF) if name == COMIC_SET else (IconSet, name)
        path = folder / f"{package}.json"
        if not path.exists():
            fetch_package(PACKAGES[package], path)
        found[name] = kind(json.loads(path.read_text(encoding="utf-8")))
    return found


def fetch_package(package: str, path: Path) -> None:
    """Put the icons of an npm package into `path` as they are, JSON."""
    with tempfile.TemporaryDirectory(dir=path.parent) as work:
        subprocess.run(["npm", "pack", "--silent", package], cwd=work, check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(work).glob("*.tgz")
        with tarfile.open(archive) as tar:
            member = tar.extractfile("package/icons.json")
            assert member is not None, f"{package} has no icons.json"
            path.write_bytes(member.read())


class IconSet:
    """The icons of one set by name; aliases are followed."""

    def __init__(self, data: dict) -> None:
        self.data = data

    def __contains__(self, name: str) -> bool:
        return name in self.data["icons"] or name in self.data.get("aliases", {})

    def names(self) -> set[str]:
        """Of all icons, aliases counted."""
        return set(self.data["icons"]) | set(self.data.get("aliases", {}))

    def render(self, name: str) -> np.ndarray:
        """Draw one icon in the middle of a transparent square; (SIZE, SIZE, 4) uint8, RGBA."""
        while name not in self.data["icons"]:
            name = self.data["aliases"][name]["parent"]
        icon = self.data["icons"][name]
        width = icon.get("width", self.data.get("width", 16))
        height = icon.get("height", self.data.get("height", 16))
        inner = SIZE - 2 * MARGIN
        svg = (
            f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{inner}"'
            f' height="{inner}" viewBox="{icon.get("left", 0)} {icon.get("top", 0)} {width} {height}">'
            f"{icon['body']}</svg>"
        )
        drawn = Image.open(io.BytesIO(bytes(svg_to_bytes(svg_string=svg)))).convert("RGBA")
        return _in_the_middle(drawn)


class ComicSet(IconSet):
    """The icons of a set with a bold outline, as in a comic."""

    def render(self, name: str) -> np.ndarray:
        """Draw one icon a little smaller, so that its outline has room; (SIZE, SIZE, 4) uint8, RGBA."""
        inner = SIZE - 2 * OUTLINE - 4  # the edge of the outline is soft
        small = Image.fromarray(super().render(name)).resize((inner, inner), Image.Resampling.LANCZOS)
        picture = _in_the_middle(small)
        opacity = picture[..., 3:].astype(np.float32) / 255
        colours = opacity * picture[..., :3] + (1 - opacity) * INK
        reach = np.maximum(_widened(picture[..., 3] > 100, OUTLINE), opacity[..., 0])
        return np.concatenate([colours, 255 * reach[..., None]], axis=-1).round().astype(np.uint8)


def _in_the_middle(drawn: Image.Image) -> np.ndarray:
    """A drawing on a transparent square; (SIZE, SIZE, 4) uint8, RGBA."""
    canvas = Image.new("RGBA", (SIZE, SIZE), (0, 0, 0, 0))
    canvas.paste(drawn, ((SIZE - drawn.width) // 2, (SIZE - drawn.height) // 2))
    return np.asarray(canvas)


def _widened(shape: np.ndarray, radius: int) -> np.ndarray:
    """A shape (H, W) bool grown by `radius` px on all sides, its edge softened; (H, W) float32 in 0..1."""
    reach = range(-radius, radius + 1)
    wide = np.zeros_like(shape)
    for down, right in ((y, x) for y in reach for x in reach if x * x + y * y <= radius * radius):
        wide |= np.roll(shape, (down, right), axis=(0, 1))
    soft = Image.fromarray(wide.astype(np.uint8) * 255).filter(ImageFilter.BoxBlur(1))
    return np.asarray(soft, dtype=np.float32) / 255


def render(sets: dict[str, IconSet], names: tuple[str, ...], cache: Path | None = None) -> np.ndarray:
    """Render every name in every set; (name, set, SIZE, SIZE, 4) uint8. Kept in `cache` (.npy) where one is given."""
    if cache and cache.exists():
        return np.load(cache)
    jobs = [(icons, name) for name in names for icons in sets.values()]
    with ThreadPoolExecutor() as pool:
        drawn = list(pool.map(lambda job: job[0].render(job[1]), jobs))
    pictures = np.stack(drawn).reshape(len(names), len(sets), SIZE, SIZE, 4)
    if cache:
        np.save(cache, pictures)
    return pictures


def shared_names(sets: dict[str, IconSet]) -> tuple[str, ...]:
    """What stands in all sets and is not kept out of the base: what the autoencoder sees."""
    common = set.intersection(*(icons.names() for icons in sets.values()))
    unwanted = ("skin-tone", "flag", "keycap", "button", "square", "thirty", "clock")
    return tuple(sorted(n for n in common - set(KEPT_OUT) if not any(word in n for word in unwanted)))


def composite(pictures: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Lay RGBA pictures (B, H, W, 4) uint8 on flat colours (B, 3) 0..255; (B, 3, H, W) float32 in [-1, 1]."""
    alpha = pictures[..., 3:].astype(np.float32) / 255
    rgb = pictures[..., :3] * alpha + colours[:, None, None, :].astype(np.float32) * (1 - alpha)
    return np.ascontiguousarray(rgb.transpose(0, 3, 1, 2) / 127.5 - 1, dtype=np.float32)


PALETTE = np.array(list(COLOURS.values()), dtype=np.float32)  # (colour, 3)
