"""The words that every base knows: those CLIP has one piece for, and a list of the ordinary words of many languages."""

import functools
import re
import unicodedata
from bisect import bisect_left
from pathlib import Path

from lora_gui import families
from lora_gui.formats import tokenizer
from lora_gui.studio.things.names import JOINERS

LISTED = Path(__file__).parent / "ordinary_words" / "words.txt"
# Of a word that others are glued to: its letters to how many of CLIP's pieces were learnt before it. The rarer ones are
# found in words that nobody has ever said.
_COMMON = {2: 0, 3: 3_600, 4: 9_000, 5: 15_000}
_ENDINGS = ("s", "es", "ed", "ing", "er", "ers", "ly", "y", "ish", "ness", "like", "esque", "en")
_SHORTEST = 3  # letters of a word that others are glued to or that has an ending
_LATIN, _UNSPACED, _HAN = 0x24F, 0xE00, 0x2E80  # the last Latin letter; scripts that put no space between words; Han
_STEM = 4  # letters that inflection leaves alone where a word has five or more and is not of Latin letters


def parts(text: str) -> list[str]:
    """The words, as people write them, of which a text is made: split at signs, digits and capitals within."""
    plain = unicodedata.normalize("NFKC", text)
    spaced = re.sub(r"(?<=[^\W\d_A-Z])(?=[A-Z])", " ", plain)
    marked = "".join(c if c.isalnum() or unicodedata.category(c)[0] == "M" or c in JOINERS else " " for c in spaced)
    return [part for run in marked.casefold().split() for part in re.findall(r"\d+|\D+", run)]


def ordinary(text: str) -> list[str]:
    """The ordinary words that a text is made of; empty where there is anything else in it but digits and pairs of
    letters, which make no word of their own."""
    found = []
    for part in parts(text):
        if part.isdigit() or len(part) < _SHORTEST and ord(part[0]) <= _LATIN or len(part) == 1:
            continue
        words = [part] if is_known(part) else _glued(part)
        if not words:
            return []
        found += words
    return found


def is_known(word: str) -> bool:
    """Whether a word, in small letters, is an ordinary one, or a form of one."""
    return any(is_clip_piece(form) or is_listed(form) for form in (word, *forms(word)))


def forms(word: str) -> set[str]:
    """What a word may be a form of: without its accents, and without the endings of English."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))
    found = {bare} if bare.isascii() else set()
    for ending in _ENDINGS:
        stem = word[: -len(ending)]
        if word.endswith(ending) and len(stem) >= _SHORTEST:
            found |= {stem, f"{stem}e"} | ({f"{stem[:-1]}y"} if ending == "es" else set())
    return found - {word}


def is_clip_piece(word: str) -> bool:
    """Whether CLIP has one piece for a word in small letters."""
    return word in _clip_words()


def rank(word: str) -> int:
    """How many pieces CLIP learnt before the one for a word in small letters; -1 where it has none."""
    return _clip_words().get(word, -1)


def is_listed(word: str) -> bool:
    """Whether the list has a word in small letters, or, where no ending of English is, one like it but for its end."""
    inflected = len(word) > _STEM and _LATIN < ord(word[0]) < _UNSPACED
    begins = (word[:-1] if inflected else word).encode("utf-8", "replace")
    words = _listed()
    at = bisect_left(words, begins)
    while at < len(words) and words[at].startswith(begins):
        if words[at] == begins or inflected and len(words[at].decode()) <= len(word) + 1:
            return True
        at += 1
    return False


@functools.cache
def clip() -> tokenizer.BytePairs:
    """CLIP's own tokenizer, as it came with the app."""
    return tokenizer.clip(families.CLIP_TOKENIZER / "merges.txt")


def _glued(word: str) -> list[str]:
    """The common words that stand in `word` without a space between; empty where that leaves anything over."""
    ways: list[list[str]] = [[]]  # for each beginning of it, the words that make it up
    for end in range(1, len(word) + 1):
        found = [[*ways[at], word[at:end]] for at in range(end) if (not at or ways[at]) and _is_common(word[at:end])]
        ways.append(min(found, key=len, default=[]))
    return ways[-1] if any(len(one) > 1 for one in ways[-1]) else []


def _is_common(word: str) -> bool:
    if word == "my" or word[0] >= chr(_HAN) and len(word) == 1:
        return True
    if word[0] >= chr(_UNSPACED):
        return is_listed(word)
    rank = _clip_words().get(word)
    if rank is None:
        return len(word) > 5 and is_listed(word)
    return rank < _COMMON.get(len(word), len(_clip_words()) * 2)


@functools.cache
def _clip_words() -> dict[str, int]:
    """Each word that CLIP has one piece for, to when that was learnt, which is the earlier the commoner it is."""
    joined = {pair.replace(" ", ""): rank for pair, rank in clip().ranks.items() if pair.endswith(tokenizer.END)}
    return {tokenizer.spelt(piece.removesuffix(tokenizer.END)): rank for piece, rank in joined.items()}


@functools.cache
def _listed() -> list[bytes]:
    return LISTED.read_bytes().split()
