"""Make the three example picture sets that come with the starter: style, character and concept."""

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from lora_gui.starter.recipe.concepts import COLOURS, words
from lora_gui.starter.recipe.licences import ATTRIBUTIONS, LICENCE_TEXTS
from lora_gui.starter.recipe.pictures import COMIC_SET, PALETTE, IconSet, composite

STYLE_SET = COMIC_SET  # flat colours in bold lines: a look the base has never seen, and one that keeps the subject
STYLE = tuple("""
    red-apple cat-face bicycle house sailboat hamburger fox guitar sunflower robot teapot elephant
    taxi anchor grinning-face umbrella penguin cactus trumpet rocket fish strawberry ghost butterfly
""".split())  # fmt: skip

CHARACTER_SET = "fluent-emoji"
CHARACTER = {
    "cat-face": "cat face",
    "grinning-cat": "grinning cat face",
    "grinning-cat-with-smiling-eyes": "grinning cat face with smiling eyes",
    "cat-with-tears-of-joy": "laughing cat face with tears",
    "smiling-cat-with-heart-eyes": "smiling cat face with heart eyes",
    "cat-with-wry-smile": "cat face with a wry smile",
    "kissing-cat": "kissing cat face",
    "weary-cat": "weary cat face",
    "crying-cat": "crying cat face",
    "pouting-cat": "pouting cat face",
}

CONCEPT_SETS = ("noto", "twemoji", "fluent-emoji-flat", "fluent-emoji")
CONCEPT = "accordion"

LIGHT = ("white", "yellow", "pink", "orange", "blue", "green", "grey", "red", "purple")  # dark lines show on these


def picture(icons: IconSet, name: str, colour: str, flip: bool = False) -> Image.Image:
    """One icon on one named background, 128 px."""
    drawn = icons.render(name)[None, :, :: -1 if flip else 1]
    rgb = composite(drawn, PALETTE[[list(COLOURS).index(colour)]])[0].transpose(1, 2, 0)
    return Image.fromarray(np.round((rgb + 1) * 127.5).astype(np.uint8))


def write_examples(sets: dict[str, IconSet], folder: Path) -> None:
    """Write the three sets under `folder`, each with its captions and its licence; what was there is replaced."""
    colours = list(LIGHT)
    style = [(STYLE_SET, name, colours[i % 9], words(name), False) for i, name in enumerate(STYLE)]
    character = [
        (CHARACTER_SET, name, list(COLOURS)[(3 * i) % 10], text, False)
        for i, (name, text) in enumerate(CHARACTER.items())
    ]
    concept = [
        (icons, CONCEPT, list(COLOURS)[(4 * i + 7 * flip) % 10], words(CONCEPT), bool(flip))
        for flip in (0, 1, 2)
        for i, icons in enumerate(CONCEPT_SETS)
    ]
    for kind, rows in {"style": style, "character": character, "concept": concept}.items():
        _write_set(sets, rows, folder / kind)


def _write_set(sets: dict[str, IconSet], rows: list[tuple[str, str, str, str, bool]], folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number, (icons, name, colour, text, flip) in enumerate(rows, start=1):
        picture(sets[icons], name, colour, flip).save(folder / f"{number:03}.png", optimize=True)
        article = "an" if colour == "orange" else "a"  # the starter, which knows "a orange", draws the same
        (folder / f"{number:03}.txt").write_text(f"{text} on {article} {colour} background\n", encoding="utf-8")
    used = list(dict.fromkeys(row[0] for row in rows))
    lines = ["The pictures in this folder are made from these icon sets:", ""]
    lines += [f"- {ATTRIBUTIONS[icons]}" for icons in used]
    texts = [LICENCE_TEXTS[key] for key in dict.fromkeys(_licence(icons) for icons in used)]
    (folder / "LICENSE.txt").write_text("\n".join(lines) + "\n\n" + "\n\n".join(texts) + "\n", encoding="utf-8")


def _licence(icons: str) -> str:
    return next(key for key in LICENCE_TEXTS if key in ATTRIBUTIONS[icons])
