"""How much of a caption a base reads, counted with its own tokenizer; what comes after that is cut without a word."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

_SHOWN = 4  # words


@dataclass(frozen=True)
class Reader:
    """`room` is how many tokens of a caption are read, those not counted that are put around it."""

    tokenizer: Any
    room: int

    def unread(self, caption: str) -> str:
        """The words from which on a caption is not seen, the first few of them; empty where all of it is."""
        places = self.tokenizer(caption, add_special_tokens=False, return_offsets_mapping=True).offset_mapping
        if len(places) <= self.room:
            return ""
        cut = re.search(r"\S*$", caption[: places[self.room][0]])  # a word that is cut in two counts as not seen
        return " ".join(caption[cut.start() if cut else 0 :].split()[:_SHOWN])


def rows(tokenizer: Any, captions: list[str], length: int = 0) -> Any:
    """Each caption as a row of tokens, cut or filled up to so many (0: as the tokenizer says itself); (B, length)."""
    length = length or tokenizer.model_max_length
    return tokenizer(captions, padding="max_length", max_length=length, truncation=True, return_tensors="pt")


def reader(folder: Path, length: int = 0) -> Reader:
    """Of the tokenizer in `folder`, which fills up to so many tokens (0: as it says itself)."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return Reader(tokenizer, (length or tokenizer.model_max_length) - tokenizer.num_special_tokens_to_add())
