"""What of a LoRA file has no place in a base: how much is too much, and the sentence that says what is left out."""

from __future__ import annotations

import re
from collections.abc import Collection

_TEXT = re.compile(r"lora_te\d?_|text_encoder")
T5 = re.compile(r"(?:lora_te\d?_|text_encoders?[_.])(?:[\w.]{0,60}[_.])?encoder[_.]block[_.]\d[\w.]*")


def too_much(unknown: Collection[str], total: int) -> bool:
    """Whether so many of the `total` tensors of a file have no place that the rest is not the LoRA any more.

    Text encoders that a base does not use do not count, as long as anything is left.
    """
    if not unknown:
        return False
    texts = sum(bool(_TEXT.match(name)) for name in unknown)
    strange = len(unknown) - texts
    return len(unknown) >= total or 2 * strange >= total - texts


def sentence(unknown: Collection[str], total: int) -> str:
    """What is left out and how much; empty where nothing is."""
    texts = [name for name in unknown if _TEXT.match(name)]
    others = sorted(set(unknown) - set(texts))
    what = []
    if texts:
        kind = "a T5 text encoder" if all(T5.fullmatch(name) for name in texts) else "a text encoder"
        what.append(f"{len(texts)} of {kind} that is not changed here")
    if others:
        what.append(f"{len(others)} that no layer here has, such as {others[0][:80]}")
    return f"Of its {total} tensors some are left out: {' and '.join(what)}." if what else ""
