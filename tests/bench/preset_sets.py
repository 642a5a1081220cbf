"""The picture sets on which presets are measured, all outside the starter: looks, characters, and things it never saw.

Half of them are for choosing a preset's values, the other half for reporting what the chosen ones do.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lora_gui.starter.recipe.concepts import COLOURS, caption, words
from lora_gui.starter.recipe.examples import CONCEPT_SETS, LIGHT, STYLE
from lora_gui.starter.recipe.pictures import COMIC_SET, PALETTE, IconSet, composite, fetch, fetch_package

PACKAGES = {"openmoji": "@iconify-json/openmoji@1.2.29"}  # CC BY-SA 4.0, so in nothing that ships
PIXEL_SET, PIXEL_OF, CELLS = "noto-pixels", "noto", 16  # squares that a judge sees at half size, too
TRIGGERS = {"style": "zxs", "character": "zxk", "concept": "zxc"}

# Things the base knows and no style set shows.
SUBJECTS = tuple("""
    banana bell castle crab door envelope lion mushroom owl pencil pizza rabbit-face scissors snowman star tractor
""".split())  # fmt: skip
CATS = {
    "smiling-cat-face-with-open-mouth": "cat face", "cat-face": "cat face", "grinning-cat-face": "grinning cat face",
    "grinning-cat-face-with-smiling-eyes": "grinning cat face with smiling eyes",
    "cat-face-with-tears-of-joy": "laughing cat face with tears",
    "cat-face-with-wry-smile": "cat face with a wry smile", "kissing-cat-face": "kissing cat face",
    "weary-cat-face": "weary cat face", "crying-cat-face": "crying cat face", "pouting-cat-face": "pouting cat face",
    "smiling-cat-face-with-heart-eyes": "smiling cat face with heart eyes",
}  # fmt: skip
FACES = {
    "grinning-face": "grinning face", "nerd-face": "nerd face", "smiling-face-with-sunglasses": "face with sunglasses",
    "winking-face": "winking face", "crying-face": "crying face", "angry-face": "angry face",
    "neutral-face": "neutral face", "face-with-tongue": "face with tongue", "kissing-face": "kissing face",
    "thinking-face": "thinking face",
}  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """One picture set: `shown` is the icon set of a look or a character, or the name of a concept."""

    kind: str  # the preset
    half: str  # "choose" or "report"
    look: str  # in a word
    shown: str
    poses: tuple[tuple[str, str], ...] = ()  # of a character: icon and caption

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.look}"


def _without(poses: dict[str, str], *left_out: str) -> tuple[tuple[str, str], ...]:
    return tuple((icon, text) for icon, text in poses.items() if icon not in left_out)


TRIALS = (
    Trial("style", "choose", "outlined", COMIC_SET),
    Trial("style", "choose", "pixelled", PIXEL_SET),
    Trial("style", "report", "drawn", "openmoji"),
    Trial("style", "report", "3d", "fluent-emoji"),
    Trial("character", "choose", "blob", "noto-v1", tuple(FACES.items())),
    Trial("character", "choose", "yellow-cat", "streamline-emojis", _without(CATS, "smiling-cat-face-with-open-mouth")),
    Trial("character", "report", "grey-cat", "emojione", _without(CATS, "cat-face")),
    Trial("character", "report", "orange-cat", "noto-v1", _without(CATS, "smiling-cat-face-with-open-mouth")),
    Trial("concept", "choose", "accordion", "accordion"),
    Trial("concept", "choose", "telescope", "telescope"),
    Trial("concept", "report", "roller-skate", "roller-skate"),
    Trial("concept", "report", "maracas", "maracas"),
)


class PixelSet(IconSet):
    """The icons of a set in coarse squares."""

    def render(self, name: str) -> np.ndarray:
        """Draw one icon in CELLS x CELLS squares with hard edges; (SIZE, SIZE, 4) uint8, RGBA."""
        picture = super().render(name).astype(np.float32)
        opacity = picture[..., 3:] / 255
        parts = [Image.fromarray((picture * opacity)[..., i]) for i in range(3)] + [Image.fromarray(opacity[..., 0])]
        coarse = np.stack([part.resize((CELLS, CELLS), Image.Resampling.BOX) for part in parts], axis=-1)
        colours = coarse[..., :3] / np.maximum(coarse[..., 3:], 1e-3)
        cells = np.concatenate([colours, 255 * (coarse[..., 3:] > 0.5)], axis=-1)
        each = len(picture) // CELLS
        whole = cells.clip(0, 255).round().astype(np.uint8).repeat(each, axis=0).repeat(each, axis=1)
        edge = (len(picture) - len(whole)) // 2
        return np.pad(whole, ((edge, len(picture) - len(whole) - edge),) * 2 + ((0, 0),))


def icons(work: Path, name: str) -> IconSet:
    """An icon set by name, fetched from npm where it is not in `work` yet."""
    if name == PIXEL_SET:
        return PixelSet(icons(work, PIXEL_OF).data)
    path = work / "icons" / f"{name}.json"
    if name in PACKAGES and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fetch_package(PACKAGES[name], path)
    own = name in PACKAGES
    return IconSet(json.loads(path.read_text("utf-8"))) if own else fetch((name,), work / "icons")[name]


def named(own: IconSet, name: str) -> str:
    """Older sets say `crying-cat-face` where newer ones say `crying-cat`."""
    return name if name in own else name.replace("-cat-face", "-cat").replace("cat-face-", "cat-")


def rows(trial: Trial) -> list[tuple[str, str, str, str, bool]]:
    """What the set shows: icon set, icon, its words, the background, whether it is mirrored."""
    names = list(COLOURS)
    if trial.kind == "style":
        return [(trial.shown, name, words(name), LIGHT[i % len(LIGHT)], False) for i, name in enumerate(STYLE)]
    if trial.kind == "character":
        return [(trial.shown, icon, text, names[3 * i % 10], False) for i, (icon, text) in enumerate(trial.poses)]
    return [
        (own, trial.shown, words(trial.shown), names[(4 * i + 7 * turn) % 10], turn == 1)
        for turn in range(3)
        for i, own in enumerate(CONCEPT_SETS)
    ]


def write(trial: Trial, work: Path, side: int) -> Path:
    """The set as a folder of pictures (px `side`) with captions."""
    folder = work / "preset-sets" / f"{trial.name}-{side}"
    if (folder / "whole").exists():
        return folder / "pictures"
    pictures = folder / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    sets = {name: icons(work, name) for name in dict.fromkeys(row[0] for row in rows(trial))}
    for number, (own, icon, text, colour, mirrored) in enumerate(rows(trial), start=1):
        drawn = sets[own].render(named(sets[own], icon))[None, :, :: -1 if mirrored else 1]
        rgb = composite(drawn, PALETTE[[list(COLOURS).index(colour)]])[0].transpose(1, 2, 0)
        picture = Image.fromarray(np.round((rgb + 1) * 127.5).astype(np.uint8))
        picture.resize((side, side), Image.Resampling.LANCZOS).save(pictures / f"{number:03}.png")
        (pictures / f"{number:03}.txt").write_text(f"{text} on a {colour} background\n", encoding="utf-8")
    (folder / "whole").touch()
    return pictures


@dataclass(frozen=True)
class Asked:
    """What is drawn to judge a LoRA: prompts without its trigger word, and what they ask for."""

    texts: tuple[str, ...]
    concepts: tuple[str, ...]
    colours: tuple[str, ...]


def asked(trial: Trial, count: int) -> Asked:
    """With the trigger word: what the set does not show, or shows on another background."""
    if trial.kind == "style":
        things = [(name, words(name)) for name in SUBJECTS]
        colours = list(LIGHT)
    else:
        own = [(text.split()[-1], text) for _, text in trial.poses] or [(trial.shown, words(trial.shown))]
        shown = [row[3] for row in rows(trial)]
        things = [own[i % len(own)] for i in range(count)]
        names = list(COLOURS)  # each on another background than it was shown on
        colours = [names[(names.index(shown[i % len(shown)]) + 1 + i % 9) % 10] for i in range(count)]
    return _asked(things, colours, count)


def others(trial: Trial, count: int) -> Asked:
    """Without the trigger word: what should stay as the base has it; of a character, others of its kind."""
    if trial.kind != "character":
        return _asked([(name, words(name)) for name in SUBJECTS], list(LIGHT), count)
    kind = "cat-face" if trial.poses[0][1].startswith("cat") else "grinning-face"
    return _asked([(kind, words(kind))], list(COLOURS), count)


def real(trial: Trial, work: Path, wanted: Asked) -> np.ndarray:
    """What is asked of a style as its own set shows it, by which its judges are judged; (N, 3, SIZE, SIZE), [-1, 1]."""
    own = icons(work, trial.shown)
    pictures = np.stack([own.render(named(own, name)) for name in wanted.concepts])
    return composite(pictures, PALETTE[[list(COLOURS).index(colour) for colour in wanted.colours]])


def stacked(concept: Trial, count: int) -> Asked:
    return _asked([(concept.shown, words(concept.shown))], list(LIGHT), count)


def _asked(things: list[tuple[str, str]], colours: list[str], count: int) -> Asked:
    chosen = [(*things[i % len(things)], colours[i % len(colours)]) for i in range(count)]
    texts = tuple(caption(text, colour) for _, text, colour in chosen)
    return Asked(texts, tuple(name for name, _, _ in chosen), tuple(colour for _, _, colour in chosen))
