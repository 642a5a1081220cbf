"""The pieces into which the tokenizers of a base cut a word, read from their files; nothing of theirs is run."""

from __future__ import annotations

import functools
import json
import re
import unicodedata
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_gui import files

LARGEST = 64 << 20  # bytes of a tokenizer's file
END = "</w>"  # what CLIP puts behind the last letter of a word
SPACE = "\u2581"  # what SentencePiece writes for a space
UNREADABLE = "\ufffd"  # in a piece: part of a letter, or letters that are not known at all
_FILES = ("tokenizer.json", "merges.txt")
_STRANGE = (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError)
# What is cut apart before any piece is looked up: by CLIP (OpenAI, simple_tokenizer.py), by GPT-2 and Qwen.
_CLIP_WORDS = re.compile(r"'(?:s|t|re|ve|m|ll|d)|[^\W\d_]+|\d|(?:[^\s\w]|_)+")
_GPT_WORDS = re.compile(r"(?i:'(?:s|t|re|ve|m|ll|d))|(?:[^\r\n\w]|_)?[^\W\d_]+|\d| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")


class Tokenizer(ABC):
    """What reads the captions of a base."""

    @abstractmethod
    def pieces(self, text: str) -> tuple[str, ...]:
        """What `text` is read as, spaces left out; what is less than a letter is UNREADABLE."""

    def count(self, text: str) -> int:
        """How many pieces `text` is read as, spaces that are one of their own among them."""
        return len(self.pieces(text))


@dataclass(frozen=True, eq=False)
class BytePairs(Tokenizer):
    """Byte-level byte-pair encoding (Sennrich et al. 2016): the pair that was learnt first is joined first."""

    ranks: dict[str, int]  # "first second" to when it was learnt
    end: str = ""  # END, or nothing where a space stands before a word instead
    lower: bool = True

    def pieces(self, text: str) -> tuple[str, ...]:
        text = unicodedata.normalize("NFC", text)  # as CLIP and Qwen have it
        words = (_CLIP_WORDS if self.end else _GPT_WORDS).findall(text.lower() if self.lower else text)
        found = [piece for word in words for piece in _joined(self, word)]
        return tuple(piece.strip() for piece in found if piece.strip())


@dataclass(frozen=True, eq=False)
class Unigram(Tokenizer):
    """The likeliest way to put a text together of pieces (Kudo 2018), as SentencePiece does it."""

    scores: dict[str, float]  # log likelihood of each piece
    longest: int  # letters of a piece

    def pieces(self, text: str) -> tuple[str, ...]:
        return tuple(piece for piece in self._cut(text) if piece)

    def count(self, text: str) -> int:
        return len(self._cut(text))

    def _cut(self, text: str) -> list[str]:
        text = SPACE + unicodedata.normalize("NFKC", text).replace(" ", SPACE)  # as SentencePiece has it for T5
        unknown = min(self.scores.values(), default=0.0) - 10
        best: list[tuple[float, int]] = [(0.0, 0)]  # of the text up to each letter: its score, and where its end begins
        for end in range(1, len(text) + 1):
            ways = (
                (best[begin][0] + self.scores.get(text[begin:end], unknown), begin)
                for begin in range(max(0, end - self.longest), end)
                if end - begin == 1 or text[begin:end] in self.scores
            )
            best.append(max(ways))
        found, end = list[str](), len(text)
        while end:
            begin, known = best[end][1], text[best[end][1] : end] in self.scores
            if known or found[-1:] != [UNREADABLE]:  # letters without a piece become one that says nothing
                found.append(text[begin:end].replace(SPACE, "") if known else UNREADABLE)
            end = begin
        return found[::-1]


def of_base(folder: Path) -> tuple[tuple[Tokenizer, ...], tuple[str, ...]]:
    """The tokenizers of a diffusers folder, and the names of those that cannot be read."""
    there = sorted((*folder.glob("tokenizer*"), *folder.glob("*/tokenizer*")))
    read = {path: of_folder(path) for path in there if path.is_dir()}
    found = tuple(one for one in read.values() if one)
    return found, tuple(path.relative_to(folder).as_posix() for path, one in read.items() if not one)


def of_folder(folder: Path) -> Tokenizer | None:
    """The tokenizer in a folder; None where there is none of a kind that is known here."""
    for name in _FILES:
        try:
            state = (folder / name).stat()
            return _read(folder / name, state.st_size, state.st_mtime_ns)
        except _STRANGE:
            continue
    return None


def clip(merges: Path) -> BytePairs:
    """CLIP's own, of its list of merges. Raises OSError or ValueError where that is damaged."""
    lines = files.read_small(merges, LARGEST).decode("utf-8").splitlines()
    return BytePairs({line: rank for rank, line in enumerate(lines) if not line.startswith("#version")}, END)


def spelt(piece: str) -> str:
    """A piece of a list of merges as text. Raises KeyError where it is none."""
    return bytes(_bytes()[sign] for sign in piece).decode("utf-8", "replace")


@functools.lru_cache(maxsize=1 << 14)
def _joined(tokenizer: BytePairs, word: str) -> tuple[str, ...]:
    """The pieces of a word; the captions of a set have most of their words in common."""
    signs = _signs()
    parts = [signs[byte] for byte in word.encode("utf-8", "replace")]
    parts[-1] += tokenizer.end
    while len(parts) > 1:
        pairs = [tokenizer.ranks.get(f"{one} {next_}") for one, next_ in zip(parts, parts[1:], strict=False)]
        first = min((rank for rank in pairs if rank is not None), default=None)
        if first is None:
            break
        at = pairs.index(first)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return tuple(spelt(part.removesuffix(tokenizer.end)) for part in parts)


@functools.lru_cache(maxsize=6)
def _read(path: Path, size: int, time: int) -> Tokenizer:
    """`size` and `time` tell one state of the file from the next."""
    if path.name == "merges.txt":
        found = clip(path)
        return found if any(END in pair for pair in found.ranks) else BytePairs(found.ranks, lower=False)
    said = json.loads(files.read_small(path, LARGEST).decode("utf-8"))
    model = said["model"]
    if "merges" in model:
        return _byte_pairs(said, model)
    if model.get("type") != "Unigram":
        raise ValueError(model.get("type"))
    scores = {str(piece): float(score) for piece, score in model["vocab"]}
    return Unigram(scores, max(map(len, scores), default=1))


def _byte_pairs(said: dict[str, Any], model: dict[str, Any]) -> BytePairs:
    if '"ByteLevel"' not in json.dumps(said.get("pre_tokenizer")):
        raise ValueError("not of bytes")
    pairs = (pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"])
    lower = '"Lowercase"' in json.dumps(said.get("normalizer"))
    return BytePairs({pair: rank for rank, pair in enumerate(pairs)}, model.get("end_of_word_suffix") or "", lower)


@functools.cache
def _signs() -> tuple[str, ...]:
    """The sign that stands for each byte in a list of merges (OpenAI, GPT-2: bytes_to_unicode)."""
    plain = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = {byte: chr(256 + n) for n, byte in enumerate(b for b in range(256) if b not in plain)}
    return tuple(others.get(byte, chr(byte)) for byte in range(256))


@functools.cache
def _bytes() -> dict[str, int]:
    return {sign: byte for byte, sign in enumerate(_signs())}
