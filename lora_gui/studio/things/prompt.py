"""A prompt as people paste it: its `<lora:...>` tags become the stack, and what is read as plain words is said."""

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from lora_gui import families, typed
from lora_gui.errors import UserError, shown
from lora_gui.protocol.jobs import Base
from lora_gui.settings import DrawSettings, StackEntry, check
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import loras, wildcards

# https://github.com/AUTOMATIC1111/stable-diffusion-webui, modules/extra_networks.py and its lora extension
TAG = re.compile(r"<(?:lora|lyco)\s*:([^<>]*)>", re.IGNORECASE)
# Signs of other programs, which no text encoder knows.
_WEIGHTS = (  # that CLIP's families heed here; see families/shared/emphasis.py
    r"\([^()]*:\s*-?[\d.,]+\s*\)"  # (word:1.2)
    r"|\({2,}[^()]+\){2,}"
    r"|\[[^\[\]|:]+\]"  # [word]
    r"|\bBREAK\b"
    r"|\\[()\[\]]"
)
_WILDCARDS = r"\{[^{}]+\}|(?<!\w)__[\w/*-]+__"  # that drawings heed; see wildcards.py
_OTHERS = (
    r"\[[^\[\]]*[|:][^\[\]]*\]"  # [a|b], [a:b:0.5]
    r"|\{[^{}|$]+\}"  # {word}
    r"|(?<!\w)__[\w/-]*\*[\w/*-]*__"  # __of any list*__
    r"|<[\w-]+:[^<>]*>"  # <hypernet:name:1>
    r"|\bAND\b"
    r"|\bembedding:\S+"
    r"|(?<!\S)--[a-z]+\b(?:[ =][\w.:]+)?"  # --w 512
    r"|\b\w+(?:\+\+|--)(?!\w)"
)
_NAMED = 5  # of these signs, in one sentence
_OUT_OF_IT = "Take it out and write it into the prompt itself; a grid draws LoRAs one after another."
_WEIGHED = "(word:1.2) makes a word count more and [word] less; BREAK begins a thought anew; a prompt may be long."
_UNWEIGHED = "{} reads plain words: signs such as (word:1.2) change nothing and are read as words."
_CHOSEN = "{{red|blue}} takes one of them at each drawing, and __colours__ a line of colours.txt in your folder {}."


def resolved(studio: Studio, settings: DrawSettings, family: str = "") -> tuple[DrawSettings, list[str]]:
    """The settings with the tags of the prompt in the stack and out of the text, and what is to be said of that.

    `family` is the base's; where it heeds weights, they are no plain words.

    Raises UserError where a tag names no LoRA of the studio, or a strength that there is none of, or is to be chosen.
    """
    if len(TAG.findall(wildcards.certain(settings.prompt))) < len(TAG.findall(settings.prompt)):
        raise UserError("A LoRA stands in a choice like {a|b}, which chooses words alone.", _OUT_OF_IT)
    asked: dict[Path, tuple[StackEntry, list[str]]] = {}
    for tag in TAG.finditer(settings.prompt):  # of one LoRA, the last counts, as in `tags.named`
        entry, words = _entry(studio, tag)
        asked[Path(entry.lora).resolve()] = entry, words
    notes = [note for _, words in asked.values() for note in words]
    texts = {"prompt": settings.prompt, "negative_prompt": settings.negative_prompt}
    plain = {name: _without_tags(text) for name, text in texts.items()}
    if TAG.search(settings.negative_prompt):
        notes.append("A LoRA in the negative prompt has no effect, so it was left out; give it a negative strength.")
    if signs := read_as_words(plain.values(), family, wildcards=True):
        notes.append(signs)
    if plain == texts:
        return settings, notes
    stack = [entry for entry in settings.stack if Path(entry.lora).resolve() not in asked]
    if len(stack) < len(settings.stack):
        notes.append("Where a LoRA is in the prompt and in the stack, the strength in the prompt counts.")
    changed = {"stack": [entry.model_dump() for entry in (*stack, *(entry for entry, _ in asked.values()))]}
    return check(DrawSettings, settings.model_dump() | plain | changed), notes


def check_words(text: str) -> None:
    """Of a prompt as it is drawn. Raises UserError where a list put the tag of a LoRA into it."""
    if tag := TAG.search(text):
        raise UserError(f"{shown(tag[0])} stands in a list, which gives words alone.", _OUT_OF_IT)


def read_as_words(texts: Iterable[str], family: str = "", wildcards: bool = False) -> str:
    """A sentence naming the signs of other programs that are not heeded in prompts; empty where there are none."""
    weighs = bool(family) and families.facts_of(family).weighs_words
    unheeded = [_OTHERS, *[_WEIGHTS] * (not weighs), *[_WILDCARDS] * (not wildcards)]
    expression = re.compile("|".join(unheeded))
    signs = list(dict.fromkeys(sign[0] for text in texts for sign in expression.finditer(text)))
    named = ", ".join(shown(sign, 40) for sign in signs[:_NAMED])
    return f"Read as plain words, not as signs: {named}{' and more' if signs[_NAMED:] else ''}." if signs else ""


def heeded(studio: Studio, base: Base) -> str:
    """Which signs in a prompt this base heeds, in sentences."""
    facts = families.facts_of(base.family)
    reads = _WEIGHED if facts.weighs_words else _UNWEIGHED.format(facts.title)
    return f"{reads} {_CHOSEN.format(wildcards.folder(studio))}"


def _without_tags(text: str) -> str:
    """The text without its tags and the gaps they leave; as it is where it has none."""
    if not TAG.search(text):
        return text
    return re.sub(rf"[ \t]*(?:{TAG.pattern}[ \t]*)+", " ", text, flags=re.IGNORECASE).strip()


class Said(NamedTuple):
    """What a tag says: the LoRA's name, its strength, that in text encoders where it is another, and the rest."""

    name: str
    strength: float
    text_strength: float | None
    unknown: tuple[str, ...]


def said(tag: re.Match[str]) -> Said:
    """`<lora:name>` is at 1, `:0.8` at that, `:0.5:0.8` at one strength in text encoders and one in the rest.

    Raises UserError where a strength is no number.
    """
    name, *given = (part.strip() for part in tag[1].split(":"))
    by_name = dict(part.split("=", 1) for part in given if "=" in part)
    in_order = [part for part in given if "=" not in part]
    first, second, *further = (*in_order, "", "")
    texts = _strength(by_name.pop("te", first) or "1", tag[0])
    rest = by_name.pop("unet", second)
    strength = _strength(rest, tag[0]) if rest else texts
    unknown = (*filter(None, further), *(f"{key}={value}" for key, value in by_name.items()))
    return Said(name, strength, None if texts == strength else texts, unknown)


def _entry(studio: Studio, tag: re.Match[str]) -> tuple[StackEntry, list[str]]:
    """What one tag asks for, and what is to be said of it."""
    name, strength, texts, unknown = said(tag)
    lora = loras.named(studio, name)
    entry = check(StackEntry, {"lora": str(lora.path), "strength": strength, "text_strength": texts})
    notes = [f"As the prompt says, {lora.path.stem} is used at {strength:g}."]
    if texts is not None:
        notes.append(f"Its text encoder is at {texts:g}.")
    if unknown:
        notes.append(f"Not known here, and left out of {shown(tag[0])}: {', '.join(unknown)}.")
    return entry, notes


def _strength(text: str, tag: str) -> float:
    found = typed.number(text)
    if isinstance(found, str) or not abs(found) < sys.float_info.max:  # NaN is not below it either
        raise UserError(f"The strength in {shown(tag)} is not a number.", "Write it as <lora:name:0.8>.")
    return float(found)
