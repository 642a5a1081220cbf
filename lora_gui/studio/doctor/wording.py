"""What can be said of the captions of a set: what is not read, what says too much, what is missing."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from lora_gui.protocol.learnt import filled_in
from lora_gui.studio.doctor.finding import Finding
from lora_gui.studio.doctor.reading import Reading

GOALS = ("style", "character", "concept")
# Words that say nothing of what is seen, in the languages in which captions are mostly written.
SMALL_WORDS = frozenset(
    "a an the and or of in on at to with without by from for into over under near next beside behind before is are was"
    " be being has have its his her their this that these those some there it he she they as up down out no not one two"
    " ein eine der die das und mit im am auf un une le la les de du des et avec dans sur el los las y con en".split()
)
# What a picture is set against, with the word that says how: said so that it is not learnt, and so in many captions.
_GROUND = re.compile(r"(?:[\w-]+\s+)?\b(?:backgrounds?|backdrop|hintergrund)\b|\b(?:fond|fondo|sfondo)\b(?:\s+[\w-]+)?")
_FEWEST = 5  # captions of which something can be said together
_SHARE = 0.8  # of them, from which a word soaks up what is to be learnt
_MOST = 3  # words that are named
_SAYS = {
    "style": "it will learn the look, and not your trigger word.",
    "character": "it will learn who this is, and not your trigger word.",
    "concept": "it will learn the thing, and not your trigger word.",
}
_WRITE = {
    "style": "Say in two to five plain words what each shows, and nothing of its style.",
    "character": "Say what changes: pose, place, clothes; nothing of what is always so.",
    "concept": "Say what is around it, and nothing of the thing itself.",
}


def goal_of(preset: str) -> str:
    """What pictures are for by the preset that they are learnt with; a look where it is the user's own."""
    return preset if preset in GOALS else GOALS[0]


def checks(captions: Sequence[str], trigger: str, goal: str) -> Iterator[Finding]:
    """What is wrong with the captions together."""
    written = [one for one in captions if one.strip()]
    if len(written) < len(captions):
        missing = len(captions) - len(written)
        says = f"{missing} of {len(captions)} pictures have no caption." if written else "No picture has a caption."
        yield Finding("uncaptioned", says, _WRITE[goal])
    bare = {without(one, trigger).casefold() for one in written}
    if len(written) >= _FEWEST and len(bare) == 1 and "" not in bare:
        yield Finding("alike_captions", f"All {len(written)} captions say the same.", _WRITE[goal])
    elif len(written) >= _FEWEST:
        yield from _soaking(written, trigger, goal)
    yield from _trigger(captions, trigger)


def too_long(name: str, caption: str, reading: Reading, trigger: str = "") -> Iterator[Finding]:
    """What of one caption, as it is learnt with its trigger word, the base does not read."""
    if unread := reading.unread(caption):
        says = f'Of the caption of {name} the base reads nothing from "{unread}" on.'
        if 2 * reading.tokenizer.count(trigger) > reading.room:
            yield Finding("long_trigger", says, "Use a shorter trigger word: this one takes most of what is read.")
        else:
            yield Finding("unread", says, "Shorten it, or say first what matters most.")


def without(caption: str, trigger: str) -> str:
    """A caption without the trigger word."""
    if not trigger:
        return caption
    return re.sub(rf"\s*,?\s*{_word(trigger)}\s*,?\s*", " ", caption, flags=re.IGNORECASE).strip()


def with_trigger(caption: str, trigger: str) -> str:
    """A caption that begins with the trigger word, unless it says it already, itself or by a sign for it."""
    caption = filled_in(trigger, caption)
    if re.search(_word(trigger), caption, re.IGNORECASE):
        return caption
    return f"{trigger}, {caption}" if caption else trigger


def without_word(caption: str, word: str) -> str:
    """A caption without one of its words, and without the signs that it leaves alone."""
    left = re.sub(_word(word), "", caption, flags=re.IGNORECASE)
    parts = [" ".join(part.split()) for part in left.split(",")]
    return ", ".join(part for part in parts if part)


def words(caption: str) -> list[str]:
    """The words of a caption that say what is seen, in small letters."""
    found = re.findall(r"(?<![\w-])(?=[\w'-]*[^\W\d_])\w[\w'-]*", caption.casefold())  # whole ones, as in 1girl
    return [one for one in found if one not in SMALL_WORDS and len(one) > 2]


def _soaking(written: Sequence[str], trigger: str, goal: str) -> Iterator[Finding]:
    """Words that stand in nearly every caption; the background may, and what a character or a thing is called."""
    said = [_GROUND.sub(" ", without(one, trigger).casefold()) for one in written]
    counts = Counter(word for one in said for word in set(words(one)))
    called = _name(said) if goal != "style" else []
    often = [pair for pair in counts.most_common() if pair[1] > _SHARE * len(written) and pair[0] not in called]
    for word, count in often[:_MOST]:
        says = f'"{word}" stands in {count} of {len(written)} captions: {_SAYS[goal]}'
        yield Finding("words", says, "Take it out of the captions.", word=word)


def _name(said: Sequence[str]) -> list[str]:
    """What captions in small letters call a subject: how most begin, and the words behind that in nearly all."""
    first = Counter(telling[0] for one in said if (telling := words(one)))
    name = [word for word, _ in first.most_common(1)]
    while name:
        behind = re.compile(rf"{_word(' '.join(name))}\s+([\w'-]+)")
        after = Counter(found[1] for one in said if (found := behind.search(one)))
        word, count = after.most_common(1)[0] if after else ("", 0)
        if count <= _SHARE * len(said) or word in SMALL_WORDS:
            break
        name.append(word)
    return name


def _trigger(captions: Sequence[str], trigger: str) -> Iterator[Finding]:
    written = [one for one in captions if one.strip()]
    saying = sum(bool(re.search(_word(trigger), one, re.IGNORECASE)) for one in written) if trigger else 0
    if trigger and written and saying < len(written):
        says = f"{len(written) - saying} of {len(written)} captions do not say {trigger}."
        remedy = "Here it is put before them when they are learnt; other programs want it in the files."
        if not saying:  # as it is with captions that were written before there was a trigger word
            says, remedy = f"{trigger} is put before each caption.", "Other programs want it in the files."
        yield Finding("trigger", says, remedy, word=trigger)


def _word(word: str) -> str:
    return rf"(?<![\w-]){re.escape(word)}(?![\w-])"


Change = Callable[[str, str], str]
# What a remedy makes of a caption and the finding's word.
CHANGES: dict[str, Change] = {"words": without_word, "trigger": with_trigger}
