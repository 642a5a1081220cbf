"""Captions by goal: what of a description is worth saying where a style, a character or a concept is learnt.

What the trigger word is to learn stays out of the caption: of a style how it is drawn, of a character the fixed traits,
of a concept the thing itself.
"""

import re
from collections.abc import Callable
from pathlib import PurePosixPath

from lora_gui.protocol.learnt import filled_in
from lora_gui.studio.things.names import clean_caption

MOST = 5  # words of a caption for a style
_LONG = 12  # words of the others
_ARTICLES = frozenset("a an the some this that these those his her their its".split())
_PLACES = frozenset(
    "in on at under over near beside behind before between against through by across inside outside".split()
)
_TRAITS = re.compile(
    r"\b(hair|haired|eyes?|eyed|skin|skinned|face|faced|beard|bearded|moustache|freckles?|nose|ears?|fur|tail|old|young"
    r"|aged|blonde?|brunette|bald|tall|short|solo|\d+ ?(girl|boy|woman|man)s?)\b"
)
_PERSON = re.compile(r"\b(woman|man|girl|boy|lady|guy|person|child|kid|people|male|female|lady|gentleman)\b")
_STYLE = re.compile(
    r"\b(in the style of|in the style|style of|by)\s+[\w .-]+$"
    r"|\b(an?\s+|the\s+)?((black and white|oil|digital|vector|pencil|ink|line|flat|pixel|anime|cartoon|comic|3d"
    r"|close[ -]?up|stock)\s+)*(water ?colou?rs?|painting|drawing|illustration|sketch|artwork|art|render(ing)?"
    r"|photo(graph)?|picture|image|icon|cartoon|comic|clip ?art|portrait|emoji|screenshot|shot|close[ -]?up)s?\s*"
    r"(of\b|,|$|showing\b|with\b(?= ))"
    r"|\b(black and white|watercolou?r|monochrome|pixelated|stylised|stylized|cartoon(ish)?|hand[- ]drawn"
    r"|highly detailed|masterpiece|best quality|4k|8k|hd)\b"
)
_NOTHING = re.compile(
    r"\b(img|dsc[nf]?|pxl|mvimg|screenshot|screen shot|photo|image|picture|pic|untitled|copy|final|edited|whatsapp"
    r"|signal|scan|scanned|download|unnamed|kopie|bild|foto)\b"
)
_CUT = re.compile(
    rf"\s+(?=(?:{'|'.join(sorted(_PLACES))}|with|wearing|holding|next to|in front of|on top of|standing|sitting|lying"
    r"|running|walking|looking|playing|flying|jumping|sleeping|eating|drinking|riding|dancing|swimming|reading)\b)"
)


def shortened(description: str, goal: str, trigger: str) -> str:
    """The caption for a picture that is described so: the trigger word, and what the goal wants said."""
    plain = clean_caption(_without(filled_in(trigger, description), trigger)).strip(" .,;:").casefold()
    said = _RULES[goal](plain)
    return f"{trigger}, {said}" if said and trigger else said or trigger


def of_file_name(name: str) -> str:
    """What a file's name says of its picture; empty where it says nothing, as IMG_2041 does."""
    stem = re.sub(r"[_\-.+()\[\]#]+", " ", PurePosixPath(name).stem)
    stem = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", stem).casefold()
    words = _NOTHING.sub(" ", re.sub(r"\b\w*\d\w*\b", " ", stem)).split()
    return " ".join(words).removeprefix("of ") if any(len(word) > 2 for word in words) else ""


def _style(plain: str) -> str:
    """Two to five plain words of what is there, and nothing of how it looks."""
    parts = _parts(_STYLE.sub(" ", plain))
    kept = [part for part in parts if part.split()[0] not in ("with", "wearing") and not _TRAITS.fullmatch(part)]
    chosen: list[str] = []
    for part in kept or parts[:1]:
        words = [word for word in part.split() if word not in _ARTICLES]
        room = MOST - sum(len(one.split()) for one in chosen)
        place = words[:1] if words and words[0] in _PLACES else []
        words = place + words[len(place) :][-2:]
        if len(words) <= room and words:
            chosen.append(" ".join(words))
    return (", " if _is_tags(plain) else " ").join(chosen)


def _character(plain: str) -> str:
    """What changes: pose, place, clothes; who it is and what is always so is left out."""
    parts = _parts(_STYLE.sub(" ", plain))
    head = 1 if parts and not _is_tags(plain) and parts[0].split()[0] not in _PLACES else 0
    return _joined([part for part in parts[head:] if not _TRAITS.search(part) and not _PERSON.fullmatch(_bare(part))])


def _concept(plain: str) -> str:
    """What is around the thing; the thing and what belongs to it is left out."""
    parts = _parts(_STYLE.sub(" ", plain))
    head = 1 if parts and parts[0].split()[0] not in _PLACES else 0
    return _joined([part for part in parts[head:] if part.split()[0] != "with"])


_RULES: dict[str, Callable[[str], str]] = {"style": _style, "character": _character, "concept": _concept}


def _parts(plain: str) -> list[str]:
    """A sentence cut before each place, pose and attribute; tags as they are."""
    pieces = [part for tag in re.split(r"[,;.]", plain) for part in _CUT.split(tag)]
    parts = [re.sub(r"^and | (and|is|are)$", "", " ".join(part.split())) for part in pieces]
    parts = [part.removeprefix("of ") for part in parts]
    return [part for part in parts if any(word not in _ARTICLES for word in part.split())]


def _joined(parts: list[str]) -> str:
    chosen: list[str] = []
    for part in map(_bare, parts):
        if part and sum(len(one.split()) for one in chosen) + len(part.split()) <= _LONG:
            chosen.append(part)
    return ", ".join(dict.fromkeys(chosen))


def _bare(part: str) -> str:
    return " ".join(word for word in part.split() if word not in _ARTICLES)


def _is_tags(plain: str) -> bool:
    return "," in plain


def _without(text: str, trigger: str) -> str:
    word = rf"(?<![\w-]){re.escape(trigger)}(?![\w-])\s*,?"
    return re.sub(word, " ", text, flags=re.IGNORECASE) if trigger else text
