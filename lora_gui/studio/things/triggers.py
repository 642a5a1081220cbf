"""Trigger words: whether one can be used, and what the base, the captions and the LoRAs that are there make of it."""

import random
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from lora_gui.errors import SettingError
from lora_gui.formats import tokenizer
from lora_gui.protocol.jobs import Base
from lora_gui.studio.things import words
from lora_gui.studio.things.names import JOINERS, clean_caption

LONGEST = 40  # letters
SHORTEST = 3  # letters; two are one piece to every base
MOST_PIECES = 16  # where most bases read 75 of a whole caption
MOST_CLASHES = 3  # that are said one by one
RARE = 40_000  # pieces that CLIP learnt before those that stand for nothing in particular, such as sks
_TRIES = 200  # at a word that is good; a strange tokenizer may find none so
_SYLLABLES = "z v r l br dr pl tr vr zl".split(), "aeiou", "zvrlx", "eiou", "lmnrvxz"  # of which nothing rude is made
_APART = re.compile(r"[\s_\-']+")


@dataclass(frozen=True)
class Asked:
    """A trigger word, and all that it is judged by."""

    word: str
    tokenizers: tuple[tokenizer.Tokenizer, ...]  # the base's own, and CLIP's
    captions: tuple[str, ...] = ()
    taken: Mapping[str, str] = field(default_factory=dict)  # trigger of each LoRA that is there to the LoRA's name


@dataclass(frozen=True)
class Verdict:
    """What there is to say of a trigger word."""

    word: str
    kind: Literal["good", "plain", "doubtful"]
    sentences: tuple[str, ...]
    suggestion: str = ""  # a word that is good, where this one is doubtful


def usable(trigger: str) -> str:
    """The trigger word as it is used. Raises SettingError where it cannot be."""
    word = unicodedata.normalize("NFC", " ".join(trigger.split()))
    for fits, what, remedy in (
        (word, "There is no trigger word.", "Type a word that calls your LoRA, such as zxy_style."),
        (
            len(word) != 1 or not word.isalpha(),
            f"The trigger word {word!r} is a single letter, which stands in many prompts.",
            "Use a made-up word such as zxy_style.",
        ),
        (
            len(word) <= LONGEST,
            f"The trigger word is {len(word)} characters long.",
            f"Use at most {LONGEST}; one made-up word works best.",
        ),
        (
            all(c in "_- '" or _is_written(c) for c in word) and any(c.isalnum() for c in word),
            f"The trigger word {word!r} holds signs that prompts use for other things.",
            "Use letters, digits, - and _ only.",
        ),
    ):
        if not fits:
            raise SettingError(what, remedy, "trigger")
    return word


def judge(trigger: str, base: Base | None, captions: Iterable[str], taken: Mapping[str, str]) -> Verdict:
    """A verdict by the tokenizers of `base`, by the words that every base knows, by the captions and by the triggers of
    the LoRAs that are there (each to the LoRA's name). Raises SettingError with a word instead where it is unusable.
    """
    found, unread = _tokenizers(base)
    asked = Asked(trigger, found, tuple(captions), taken)
    try:
        asked = replace(asked, word=usable(trigger))
    except SettingError as error:
        raise SettingError(error.what, error.remedy, error.setting, _suggestion(asked)) from None
    faults = list(_faults(asked))
    notes = [f"The tokenizer of {base.title} cannot be read, so it was left out."] if base and unread else []
    if faults:
        return Verdict(asked.word, "doubtful", (*faults, *notes), _suggestion(asked))
    pieces = _as_read(asked)
    made_up = any(len(part) >= SHORTEST and not part.isdigit() for part in words.parts(asked.word))
    if not made_up or not _is_latin(asked.word):
        plain = f"{asked.word} is no word that every base knows{pieces}."
        return Verdict(asked.word, "plain", (plain, *notes))
    begin = begun(asked.word, asked.captions)
    praise = f"{asked.word} is a good trigger word{', and your captions begin with it already' if begin else ''}"
    return Verdict(asked.word, "good", (f"{praise}{pieces}.", *notes))


def begun(trigger: str, captions: Iterable[str]) -> int:
    """How many captions begin with the trigger word already, as other trainers ask for."""
    word = re.compile(rf"\W*{re.escape(clean_caption(trigger))}(?!\w)", re.IGNORECASE)
    return sum(bool(word.match(clean_caption(caption))) for caption in captions)


def _tokenizers(base: Base | None) -> tuple[tuple[tokenizer.Tokenizer, ...], tuple[str, ...]]:
    """Those of a base, and which of them cannot be read; a base that is one file reads with CLIP."""
    found, unread = tokenizer.of_base(Path(base.path)) if base and Path(base.path).is_dir() else ((), ())
    return found or (words.clip(),), unread


def _faults(asked: Asked) -> Iterator[str]:
    """What speaks against a word: the first thing about the word itself, what the captions say, each clash."""
    yield from next(([said] for fault in _FAULTS if (said := fault(asked))), [])
    saying = [one for one in asked.captions if asked.word.casefold() in re.findall(r"[\w'-]+", one.casefold())]
    made_up = any(c == "_" or c.isdigit() for c in asked.word)
    if saying and not made_up and 2 * begun(asked.word, saying) < len(saying):
        yield f"{asked.word} also stands in your captions and keeps its ordinary meaning there."
    yield from _clashes(asked)


def _digits(asked: Asked) -> str:
    return f"{asked.word} is nothing but digits, which say something else to every base." * _is_number(asked.word)


def _short(asked: Asked) -> str:
    few = sum(c.isalnum() for c in asked.word) < SHORTEST and _is_latin(asked.word)
    return f"{asked.word} is so short that it stands for many things." * few


def _same_letter(asked: Asked) -> str:
    letters = {c for c in asked.word.casefold() if c.isalpha()}
    return f"{asked.word} is one letter again and again, which the base has seen often." * (len(letters) == 1)


def _mixed(asked: Asked) -> str:
    """Look-alikes of two alphabets in one word, which nobody can type again."""
    scripts = {unicodedata.name(c, "?").split()[0] for c in asked.word if c.isalpha()}
    both = len(scripts & {"LATIN", "CYRILLIC", "GREEK"}) > 1
    return f"{asked.word} mixes letters of two alphabets that look alike." * both


def _ordinary(asked: Asked) -> str:
    known = words.ordinary(asked.word)
    if not known:
        return ""
    if len(known) == 1 and len(words.parts(asked.word)) == 1:
        if words.rank(known[0]) > RARE:
            return f"Most bases know {asked.word} already, as a word of its own."
        return f"{asked.word} is an ordinary word or name, which keeps the meaning it has for the base."
    return f"{asked.word} is made of what every base knows ({', '.join(dict.fromkeys(known))}) and keeps that meaning."


def _one_piece(asked: Asked) -> str:
    spelt = {spelling for word in (asked.word, asked.word.casefold()) for spelling in (word, f" {word}")}
    known = any(len(one.pieces(spelling)) == 1 for one in asked.tokenizers for spelling in spelt)
    return f"This base knows {asked.word} already, as a word of its own." * known


def _fragments(asked: Asked) -> str:
    """Letters that a tokenizer has no piece for: it takes them for something unknown, or for two or three bytes."""
    letters = _APART.sub(" ", asked.word)
    lost = any(tokenizer.UNREADABLE in piece for one in asked.tokenizers for piece in one.pieces(letters))
    return f"This base has no pieces for some letters of {asked.word} and reads fragments instead." * lost


def _long(asked: Asked) -> str:
    most = max(len(one.pieces(asked.word)) for one in asked.tokenizers)
    return f"{asked.word} takes {most} pieces of the base, which is much to learn." * (most > MOST_PIECES)


_FAULTS: tuple[Callable[[Asked], str], ...] = (
    _digits, _short, _same_letter, _mixed, _ordinary, _one_piece, _fragments, _long,
)  # fmt: skip


def _clashes(asked: Asked) -> Iterator[str]:
    """The LoRAs whose trigger is the same but for case and signs, or is in this one, or has it in itself."""
    mine, found = _plain(asked.word), list[str]()
    for triggers, lora in asked.taken.items():
        for trigger in filter(None, map(str.strip, triggers.split(","))):
            other = _plain(trigger)
            if other == mine:
                found.insert(0, f"Your LoRA {lora} answers to {trigger} already, so a prompt would call both.")
            elif _stands_in(mine, other) or _stands_in(other, mine):
                found.append(f"Your LoRA {lora} answers to {trigger}; one of the two words stands in the other.")
    yield from found[:MOST_CLASHES]
    if more := len(found) - MOST_CLASHES:
        yield from [f"{more} more of your LoRAs have such a word."] * (more > 0)


def _stands_in(inner: str, outer: str) -> bool:
    """As words of it, or as a good part of its letters."""
    return bool(inner) and (f" {inner} " in f" {outer} " or len(inner) > SHORTEST and inner in outer)


def _plain(trigger: str) -> str:
    return _APART.sub(" ", unicodedata.normalize("NFKC", trigger).casefold()).strip()


def _as_read(asked: Asked) -> str:
    ways = dict.fromkeys(one.pieces(asked.word) for one in asked.tokenizers)
    shown = [" · ".join(way) for way in ways if not any(tokenizer.UNREADABLE in piece for piece in way)]
    return f"; the base reads it as {' and '.join(shown)}" if shown else ""


def _suggestion(asked: Asked) -> str:
    """A made-up word that is good itself, the same one for the same word."""
    chance = random.Random(f"{asked.word} {sorted(asked.taken)}")
    word = ""
    for _ in range(_TRIES):
        word = "".join(chance.choice(letters) for letters in _SYLLABLES)
        if not any(_faults(Asked(word, asked.tokenizers, asked.captions, asked.taken))):
            break
    return word


def _is_number(word: str) -> bool:
    return not any(c.isalpha() for c in word)


def _is_latin(word: str) -> bool:
    return all(unicodedata.name(c, "").startswith("LATIN") for c in word if c.isalpha())


def _is_written(sign: str) -> bool:
    """A letter or digit, or what many scripts cannot be written without: vowel signs, accents, joiners."""
    return sign.isalnum() or unicodedata.category(sign)[0] == "M" or sign in JOINERS
