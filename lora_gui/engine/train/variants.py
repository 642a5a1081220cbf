"""The captions that each picture is learnt with: one, or several of its lines and tags, known before any is encoded.

They follow from the settings and the seed alone, and are few, so that all are encoded once and no encoder is needed
while it learns. As sd-scripts has it (--shuffle_caption, --keep_tokens, --caption_tag_dropout_rate), but the trigger
word always stays first.
"""

from __future__ import annotations

import random
import re

from lora_gui.protocol.jobs import TrainJob, TrainPicture
from lora_gui.protocol.learnt import with_trigger
from lora_gui.settings import TrainSettings

_EACH = 8  # variants of a picture's caption, and
_ALL = 256  # of all pictures: on a large base one takes 8 MB of the computer's memory


def texts(job: TrainJob) -> list[list[str]]:
    """For each picture its captions as they are learnt, at least one."""
    most = max(1, min(_EACH, _ALL // len(job.pictures)))
    return [_of(job, number, picture, most) for number, picture in enumerate(job.pictures)]


def _of(job: TrainJob, number: int, picture: TrainPicture, most: int) -> list[str]:
    settings = job.settings
    if picture.of_class:
        return [picture.caption]
    lines = picture.captions if settings.caption_lines and picture.captions else (picture.caption,)
    whole = [with_trigger(job.trigger, line) for line in lines]
    if not (settings.shuffle_tags or settings.tag_dropout):
        return list(dict.fromkeys(whole))
    found = []
    for turn in range(max(most, len(whole))):
        rng = random.Random(f"{settings.seed} {number} {turn}")
        found.append(varied(whole[turn % len(whole)], job.trigger, settings, rng))
    return list(dict.fromkeys(found))


def varied(caption: str, trigger: str, settings: TrainSettings, rng: random.Random) -> str:
    """A caption with its tags, which commas part, in another order and some of them left out; one that is a single
    sentence stays as it is."""
    head, tags = _parted(caption, trigger.strip())
    if len(tags) < 2:
        return caption
    kept, others = tags[: settings.keep_first_tags], tags[settings.keep_first_tags :]
    if settings.shuffle_tags:
        rng.shuffle(others)
    return (head + ", ".join(kept + [tag for tag in others if rng.random() >= settings.tag_dropout])).rstrip(", ")


def _parted(caption: str, trigger: str) -> tuple[str, list[str]]:
    """What stays in front, the trigger word with what is between it and a tag behind it; and the tags."""
    tags = [tag for one in caption.split(",") if (tag := one.strip())]
    said = re.compile(rf"(?<!\w){re.escape(trigger)}(?!\w)", re.IGNORECASE)
    first = next((tag for tag in tags if said.search(tag)), "") if trigger else ""
    if not first:
        return "", tags
    tags.remove(first)
    if first.startswith(f"{trigger} "):  # put in front of a caption that did not say it
        return f"{trigger} ", [first.removeprefix(trigger).strip(), *tags]
    return f"{first}, ", tags
