"""A caption as it is learnt: the trigger word in it, in place of the signs that other trainers have for it."""

import re

_WORD = r"(?:trigger(?:[ _-]?word)?|name)"
_PLACEHOLDER = re.compile(
    rf"\[+\s*{_WORD}\s*\]+|\{{+\s*{_WORD}\s*\}}+|<+\s*{_WORD}\s*>+", re.IGNORECASE
)  # of other trainers


def filled_in(trigger: str, text: str) -> str:
    """The trigger word in place of the signs that other trainers have for it: `[trigger]`, `{trigger}`, `[name]`."""
    return " ".join(_PLACEHOLDER.sub(lambda _: trigger.strip(), text).split())


def with_trigger(trigger: str, caption: str) -> str:
    """The caption as it is learnt: the trigger word for its placeholders, and first unless the caption says it."""
    trigger, caption = trigger.strip(), filled_in(trigger, caption)
    said = re.search(rf"(?<!\w){re.escape(trigger)}(?!\w)", caption, re.IGNORECASE)
    return caption if said else f"{trigger} {caption}".strip()
