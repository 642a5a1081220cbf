"""Many captions changed at once: what each would become is seen first, and what is accepted is one change of the set.

Nothing is written over silently: what somebody has typed meanwhile stays, and is counted.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lora_gui.protocol.learnt import filled_in
from lora_gui.studio.doctor import wording
from lora_gui.studio.things import goals, pictures, set_changes
from lora_gui.studio.things.names import clean_caption
from lora_gui.studio.things.pictures import PictureSet


@dataclass(frozen=True)
class Edit:
    """What is done to each caption, in this order; what is empty is not done. `trigger` is left out by the `goal`."""

    goal: str = ""  # style, character or concept: shortened to what it wants said
    trigger: str = ""
    remove: Sequence[str] = ()  # words
    find: str = ""
    replace: str = ""
    prefix: str = ""
    suffix: str = ""


class Suggestion(NamedTuple):
    """A caption with its lines that would be another; `file` is the picture's in the set, `label` what it is called."""

    file: str
    label: str
    was: str
    becomes: str


def edited(caption: str, edit: Edit) -> str:
    """A caption as `edit` makes it, line by line; one that says nothing only gains what is put around it."""
    return "\n".join(line for one in caption.splitlines() or [""] if (line := _edited(one, edit)))


def _edited(caption: str, edit: Edit) -> str:
    if edit.goal and caption:
        caption = _to_goal(caption, edit.goal, edit.trigger) or caption
    for word in edit.remove:
        caption = wording.without_word(caption, word)
    if edit.find:
        caption = caption.replace(edit.find, edit.replace)
    prefix, suffix = edit.prefix.strip(), edit.suffix.strip()
    # What only goes on with the same letters is another word.
    before = [] if re.match(rf"{re.escape(prefix)}(?!(?<=\w)[\w-])", caption) else [prefix]
    behind = [] if re.search(rf"(?<![\w-](?=\w)){re.escape(suffix)}\Z", caption) else [suffix]
    return clean_caption(" ".join([*before, caption, *behind]))


def suggested(found: PictureSet, edit: Edit) -> list[Suggestion]:
    """What would change, and nothing else; nothing is written."""
    pairs = [(one, edited(one.written, edit)) for one in found.pictures]
    return [Suggestion(one.path.name, one.label, one.written, new) for one, new in pairs if new != one.written]


def described(
    found: PictureSet, texts: Mapping[str, tuple[str, str]], goal: str, trigger: str
) -> tuple[list[Suggestion], int]:
    """What would change by what was said of pictures, by their files with the captions that they had then; and of how
    many nothing was said that the goal wants. A caption that was typed meanwhile gets no suggestion."""
    would, silent = [], 0
    for one in found.pictures:
        was, text = texts.get(one.path.name, ("", ""))
        if one.path.name not in texts or one.caption != was:
            continue
        new = _to_goal(text, goal, trigger) if text else ""
        silent += not new
        if new and new != was:
            would.append(Suggestion(one.path.name, one.label, one.written, new))
    return would, silent


def _to_goal(text: str, goal: str, trigger: str) -> str:
    """Shortened to what the goal wants, without the trigger, which training puts before each caption."""
    return goals.shortened(wording.without(filled_in(trigger, text), trigger), goal, "")


def accept(found: PictureSet, chosen: Iterable[Suggestion]) -> tuple[int, int]:
    """Write what was accepted, as it was edited since; how many were written, and how many left as typed meanwhile.

    It can be taken back as one. Raises UserError where the disk refuses.
    """
    contents: dict[str, bytes] = {}
    left = 0

    def made() -> set_changes.Made:
        nonlocal left
        now = {one.path.name: one for one in pictures.load(found.folder).pictures}
        for one in chosen:
            picture, caption = now.get(one.file), edited(one.becomes, Edit())
            if picture is None or picture.written != one.was:
                left += 1
            elif caption != picture.written:
                contents[f"{picture.path.stem}.txt"] = caption.encode("utf-8")
        return "1 caption was changed." if len(contents) == 1 else f"{len(contents)} captions were changed.", contents

    set_changes.make(found.folder, made)
    return len(contents), left
