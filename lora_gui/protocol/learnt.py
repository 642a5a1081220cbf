"""A caption as it is learnt: the trigger word in it, in place of the signs that other trainers have for it."""

import re

_WORD = r"(?:trigger(?:[ _-]?word)?|name)"
_PLACEHOLDER = re.compile(
    rf"\[+\s*{_WORD}\s*\]+|\{{+\s*{_WORD}\s*\}}+|<+\s*{_WORD}\s*>+", re.IGNORECASE
)  # of other trainers
_FIXED = "|||"  # of kohya: parts the tags that stay in front from those that are shuffled, and is not learnt


def filled_in(trigger: str, text: str) -> str:
    """The trigger word in place of the signs that other trainers have for it: `[trigger]`, `{trigger}`, `[name]`."""
    if _FIXED in text:
        text = ", ".join(part for one in text.split(_FIXED) if (part := one.strip(", ")))
    return " ".join(_PLACEHOLDER.sub(lambda _: trigger.strip(), text).split())


def with_trigger(trigger: str, caption: str) -> str:
    """The caption as it is learnt: the trigger word for its placeholders, and first unless the caption says it."""
    trigger, caption = trigger.strip(), filled_in(trigger, caption)
    said = re.search(rf"(?<!\w){re.escape(trigger)}(?!\w)", caption, re.IGNORECASE)
    return caption if said else f"{trigger} {caption}".strip()
