"""Make the list of ordinary words anew from the packages it comes from, and print how many words of each script it has.

npm pack cldr-annotations-full@48.2.0; pip download --no-deps faker==40.63.0; apt-get download wamerican-small; unpack:
python tests/bench/ordinary_words.py CLDR/annotations FAKER american-english-small
"""

import importlib
import json
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from lora_gui.studio.things.words import LISTED, forms, is_clip_piece

LANGUAGES = (  # the most spoken ones, and one at least for every script that has a keyboard
    "ar bg bn ca cs da de el en es fa fi fil fr gu he hi hr hu hy id it ja ka km kn ko lo ml my nl no pa pl pt ro ru "
    "si sk sr sv sw ta te th tr uk ur vi zh zh-Hant"
).split()
PICTOGRAPHS = (range(0x1F300, 0x1F550), range(0x1F568, 0x1FB00), range(0x2600, 0x27C0))  # no clocks, no flags
FAKER = {  # provider to how its word lists are called
    "person": ("first_name", "male_first", "female_first"),
    "lorem": ("word_list", "common_words"),
    "color": ("all_colors",),
}
# What trainers and people who draw write all the time, and what no dictionary has.
TRADE = """
lora loras dreambooth textual inversion checkpoint sdxl txt2img img2img artstation deviantart rutkowski artgerm wlop
mucha sakimichan beksinski frazetta moebius giger loish ghibli ohwx zwx xyz qwerty asdf foobar photoreal hyperreal
boudoir chibi waifu isometric lineart claymation vaporwave synthwave cyberpunk steampunk dieselpunk solarpunk
aquarelle acuarela aquarell watercolour gouache impasto sfumato chiaroscuro ukiyo
"""


def words(text: str) -> Iterator[str]:
    """The words of a text as the list has them; CLIP's own pieces are known without it."""
    for word in re.split(r"[\s,;:/()\[\]\"“”«»・·–—|]+", unicodedata.normalize("NFKC", text).casefold()):
        word = word.strip(".-'’_!?؟।،、。“”„")
        letters = all(unicodedata.category(c)[0] in "LM" or c in "\u200c\u200d" for c in word)
        if len(word) > 1 and letters and not any(map(is_clip_piece, (word, *forms(word)))):
            yield word


def of_emoji(annotations: Path, language: str) -> set[str]:
    """What people call the things that are emoji; of phrases only what stands in several, the rest is inflected."""
    found = json.loads((annotations / language / "annotations.json").read_text())["annotations"]["annotations"]
    counts: Counter[str] = Counter()
    alone: set[str] = set()
    for sign, said in found.items():
        if "\u200d" in sign or not any(ord(sign[0]) in block for block in PICTOGRAPHS):
            continue
        phrases = [*said.get("default", []), *said.get("tts", [])]
        alone.update(word for phrase in phrases if len(phrase.split()) == 1 for word in words(phrase))
        counts.update({word for phrase in phrases for word in words(phrase)})
    return alone | {word for word, count in counts.items() if count > 2}


def of_faker(folder: Path) -> set[str]:
    """First names, common words and colours of its languages."""
    sys.path.insert(0, str(folder))
    found: set[str] = set()
    for kind, names in FAKER.items():
        for place in sorted((folder / "faker" / "providers" / kind).glob("*/__init__.py")):
            if place.parent.name == "la":
                continue  # nobody's words
            provider = importlib.import_module(f"faker.providers.{kind}.{place.parent.name}").Provider
            lists = [getattr(provider, name) for name in dir(provider) if name.startswith(names)]
            found.update(word for text in strings(lists) for word in words(text))
    return found


def strings(value: Any) -> Iterator[str]:
    """Every text in lists and dictionaries of texts."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list, tuple, set, frozenset)):
        for one in value:
            yield from strings(one)


def main(annotations: Path, faker: Path, english: Path) -> None:
    found = set(words(english.read_text() + TRADE)) | of_faker(faker)
    for language in LANGUAGES:
        found |= of_emoji(annotations, language)
    data = sorted(word.encode() for word in found if not any(form in found for form in forms(word)))
    LISTED.write_bytes(b"\n".join(data) + b"\n")
    print(f"{len(data)} words, {LISTED.stat().st_size / 1e6:.2f} MB")
    for script, count in Counter(unicodedata.name(word[0], "?").split()[0] for word in found).most_common(40):
        print(f"{count:7} {script}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
