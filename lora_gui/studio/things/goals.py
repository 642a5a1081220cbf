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
_SMALL = _ARTICLES | frozenset("and is are of that there".split())  # of which alone nothing is said
_PLACES = frozenset(
    "in on at under over near beside behind before between against through across inside outside by".split()
)
_FAR = ("in front of", "on top of", "next to")  # places of several words
_TRAITS = re.compile(
    r"""\b(
    hair | haired | eyed | skin | skinned | faced | beard | bearded | moustache | freckles? | nose | ears? | tail
    | blonde? | brunette | bald | solo
    | (?<!closed\ ) eyes? (?!\ closed)  # closed ones change
    | face (?!\ (mask|paint|shield))
    | fur (?!\ (coat|hat|trim|collar|boots|cape|jacket))
    # of somebody: short sleeves are clothes, and a tall building is a place
    | (old|young|aged|tall|short) (?= $ | \ (and|but|with)\  | \ (wo)?man\b | \ (girl|boy|lady|guy|person|child)\b)
    | \d+\ ?(girl|boy|woman|man)s?
    )\b""",
    re.VERBOSE,
)
_PERSON = re.compile(r"\b(woman|man|girl|boy|lady|guy|person|child|kid|people|male|female|gentleman)\b")
# What a picture is, with the word before it: of what somebody holds or looks at it says nothing of how that is drawn.
_MADE = r"oil|digital|vector|pencil|ink|line|flat|pixel|anime|cartoon|comic|3d|close[ -]?up|stock"
_MEDIUM = re.compile(
    rf"""
    (?:\b (?P<before> (?!(?:{_MADE})\b) \w+) \s+)?
    (?P<article> \b(?:an?|the)\s+)?
    \b ((black\ and\ white | {_MADE}) \s+)*
    ( water\ ?colou?rs? | painting | drawing | illustration | sketch | artwork | art | render(ing)? | photo(graph)?
    | picture | image | icon | cartoon | comic | clip\ ?art | portrait | emoji | screenshot | shot | close[ -]?up )s?
    \s* (?P<end> of\b | showing\b | shows\b | with\b(?=\ ) | (?=,|$))
    """,
    re.VERBOSE,
)
_SAID_OF = frozenset("is are was in as".split())  # before a medium with its article, where the picture itself is meant
_HELD = frozenset("holding taking reading watching making carrying wearing".split())
_STYLE = re.compile(
    r"""
    \b (in\ the\ style\ of | in\ the\ style | style\ of) \s+ [\w .-]+ $
    | \b (in\ )? black\ and\ white (?=\s*(,|$))
    | \b ( watercolou?r | monochrome | pixelated | stylised | stylized | cartoon(ish)? | hand[- ]drawn
      | highly\ detailed | masterpiece | best\ quality | 4k | 8k | hd
      | araff?ed? ) \b  # no word, which BLIP says before many
    """,
    re.VERBOSE,
)
_BY = re.compile(r"(?:\b(?P<before>\w+)\s+)?\bby\s+(?P<who>\w+)[\w .'-]*(?=,|$)")
_DONE = re.compile(  # what stands before `by` where that does not say who made the picture
    r"""
    \w{3,} (?<!paint) (?<!illustrat) (?<!creat) (?<!design) ed
    | (driv|eat|tak|wov|hidd)en | lit | led | held | worn | hit | caught
    | (sitt|stand|walk|ly|rest|fly|pass)ing
    """,
    re.VERBOSE,
)
_NOTHING = re.compile(
    r"\b(img|dsc[nf]?|pxl|mvimg|screenshot|screen shot|photo|image|picture|pic|untitled|copy|final|edited|whatsapp"
    r"|signal|scan|scanned|download|unnamed|kopie|bild|foto)\b"
)
_POSES = (
    "with wearing holding taking carrying watching standing sitting lying running walking looking playing flying"
    " jumping sleeping eating drinking riding dancing swimming reading"
).split()
_CUT = re.compile(  # before a place, a pose or an attribute
    rf"\s+(?=(?:{'|'.join((*_FAR, *sorted(_PLACES - {'by'}), *_POSES))}"
    r"|by (?:an?|the|his|her|their|its)|(?:\w+ed|driven|lit|led|held|worn) by)\b)"
)


def shortened(description: str, goal: str, trigger: str) -> str:
    """The caption for a picture that is described so: the trigger word, and what the goal wants said."""
    plain = clean_caption(_without(filled_in(trigger, description), trigger)).strip(" .,;:").lower()
    said = _RULES[goal](plain)
    return f"{trigger}, {said}" if said and trigger else said or trigger


def of_file_name(name: str) -> str:
    """What a file's name says of its picture; empty where it says nothing, as IMG_2041 does."""
    stem = re.sub(r"[_\-.+()\[\]#]+", " ", PurePosixPath(name).stem)
    stem = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", stem).lower()
    words = _NOTHING.sub(" ", re.sub(r"\b\w*\d\w*\b", " ", stem)).split()
    return " ".join(words).removeprefix("of ") if any(len(word) > 2 for word in words) else ""


def _style(plain: str) -> str:
    """Two to five plain words of what is there, and nothing of how it looks."""
    parts = _parts(_plain(plain).replace("black and white ", ""))
    kept = [part for part in parts if part.split()[0] not in ("with", "wearing") and not _TRAITS.fullmatch(part)]
    chosen: list[str] = []
    for part in kept or parts[:1]:
        room = MOST - sum(len(one.split()) for one in chosen)
        chosen += filter(None, [_shorter(part, room)])
    return (", " if _is_tags(plain) else " ").join(chosen)


def _shorter(part: str, room: int) -> str:
    """Where something is, and its last two words, or the last where there is no room for both; empty for less."""
    words = _bare(part).split()
    far = next((len(one.split()) for one in _FAR if part.startswith(f"{one} ")), 0)
    where = far or (2 if words[1:2] == ["by"] else int(words[0] in _PLACES))
    for many in (2, 1) if where else (2,):
        end = words[where:][-many:]
        said = words[:where] + (end[1:] if end[:1] in (["and"], ["of"], ["or"]) else end)
        if len(said) <= room:
            return " ".join(said)
    return ""


def _character(plain: str) -> str:
    """What changes: pose, place, clothes; who it is and what is always so is left out."""
    parts = _parts(_plain(plain))
    head = 1 if parts and not _is_tags(plain) and parts[0].split()[0] not in _PLACES else 0
    return _joined([part for part in parts[head:] if not _TRAITS.search(part) and not _PERSON.fullmatch(_bare(part))])


def _concept(plain: str) -> str:
    """What is around the thing; the thing and what belongs to it is left out."""
    parts = _parts(_plain(plain))
    head = 1 if parts and parts[0].split()[0] not in _PLACES else 0
    return _joined([part for part in parts[head:] if part.split()[0] != "with"])


_RULES: dict[str, Callable[[str], str]] = {"style": _style, "character": _character, "concept": _concept}


def _plain(text: str) -> str:
    """Without how it looks: what kind of picture it is, its style, and who made it."""
    without = _MEDIUM.sub(_no_medium, re.sub(r"^(there (is|are)|this is|it is)\s+", "", text))
    return _BY.sub(_no_maker, _STYLE.sub(" ", without))


def _no_medium(found: re.Match[str]) -> str:
    before, article = found["before"] or "", found["article"]
    if before in _HELD or article and before and before not in _SAID_OF:
        return found[0]
    return " " if before in _ARTICLES or before == "in" and not found["end"] else f"{before} "


def _no_maker(found: re.Match[str]) -> str:
    """`By van gogh` says who made it; `by the lake`, `surrounded by trees` and `side by side` say what is there."""
    before, who = found["before"] or "", found["who"]
    return found[0] if who in (*_ARTICLES, before) or _DONE.fullmatch(before) else before


def _parts(plain: str) -> list[str]:
    """A sentence cut before each place, pose and attribute; tags as they are."""
    pieces = [part for tag in re.split(r"[,;.]", plain) for part in _CUT.split(tag)]
    parts = [re.sub(r"^and | (and|is|are)$", "", " ".join(part.split())) for part in pieces]
    parts = [part.removeprefix("of ") for part in parts]
    return [part for part in parts if any(word not in _SMALL for word in part.split())]


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
