"""Prompts with weights, BREAK and more words than CLIP reads at once, as A1111 reads them.

The grammar is that of `parse_prompt_attention` in AUTOMATIC1111/stable-diffusion-webui, modules/prompt_parser.py; how
a prompt is cut into chunks, that of `tokenize_line` in modules/sd_hijack_clip.py. Knows no network.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

_SIGN = re.compile(r"\\[()\[\]\\]|\\|\(|\[|:\s*([+-]?[.\d]+)\s*\)|\)|\]|[^\\()\[\]:]+|:")
_BREAK = re.compile(r"\s*\bBREAK\b\s*")
_STRONGER = 1.1  # for each pair of round brackets, and the inverse for each of square ones
_STRONGEST = 10.0
_LOOKS_BACK = 20  # tokens to a comma, behind which a chunk is rather ended than in the middle of what it begins


@dataclass
class Segment:
    """A piece of a prompt and the weight of its words; one without text is a BREAK."""

    text: str
    weight: float = 1.0


@dataclass
class Chunk:
    """What the encoder reads at once: tokens, those around them left out, and the weight of each."""

    ids: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)


def segments(prompt: str) -> list[Segment]:
    """The pieces of a prompt, neighbours of one weight together; at least one."""
    found: list[Segment] = []
    opened: dict[str, list[int]] = {"(": [], "[": []}

    def multiply(begin: int, factor: float) -> None:
        for one in found[begin:]:
            one.weight *= factor

    for sign in _SIGN.finditer(prompt):
        piece, weight = sign[0], sign[1]
        if piece.startswith("\\"):
            found += [Segment(piece[1:])] * (len(piece) > 1)  # a lone one is dropped; no text is a BREAK
        elif piece in opened:
            opened[piece].append(len(found))
        elif weight is not None and opened["("]:
            multiply(opened["("].pop(), _number(weight))
        elif piece == ")" and opened["("]:
            multiply(opened["("].pop(), _STRONGER)
        elif piece == "]" and opened["["]:
            multiply(opened["["].pop(), 1 / _STRONGER)
        else:
            for number, part in enumerate(_BREAK.split(piece)):
                found += [Segment("")] * (number > 0) + [Segment(part)] * bool(part)
    for begin in opened["("]:
        multiply(begin, _STRONGER)
    for begin in opened["["]:
        multiply(begin, 1 / _STRONGER)
    return _joined(found) or [Segment(" ")]


def chunks(tokenizer: Any, pieces: list[Segment]) -> list[Chunk]:
    """The pieces as chunks of as many tokens as the encoder reads, one at least; each BREAK begins a new one."""
    room = tokenizer.model_max_length - tokenizer.num_special_tokens_to_add()
    comma = tokenizer.convert_tokens_to_ids(",</w>")
    done: list[Chunk] = []
    now, last_comma = Chunk(), -1
    for piece in pieces:
        if not piece.text:
            done, now, last_comma = [*done, now], Chunk(), -1
            continue
        for token in tokenizer(piece.text, add_special_tokens=False, truncation=False, verbose=False).input_ids:
            if len(now.ids) == room:
                keeps = last_comma + 1 if token != comma and 0 <= room - last_comma - 1 < _LOOKS_BACK <= room else room
                keeps = keeps if last_comma >= 0 else room
                done.append(Chunk(now.ids[:keeps], now.weights[:keeps]))
                now, last_comma = Chunk(now.ids[keeps:], now.weights[keeps:]), -1
            last_comma = len(now.ids) if token == comma else last_comma
            now.ids.append(token)
            now.weights.append(piece.weight)
    return [*done, now] if now.ids or not done else done


def filled(tokenizer: Any, chunk: Chunk) -> tuple[list[int], list[float]]:
    """A chunk's tokens and weights with those around them, filled up to the encoder's length."""
    free = tokenizer.model_max_length - len(chunk.ids) - 2
    ids = [tokenizer.bos_token_id, *chunk.ids, tokenizer.eos_token_id, *[tokenizer.pad_token_id] * free]
    return ids, [1.0, *chunk.weights, *[1.0] * (free + 1)]


def is_plain(pieces: list[Segment], prompt: str) -> bool:
    """Whether a prompt says nothing but its words."""
    return len(pieces) == 1 and pieces[0].weight == 1 and pieces[0].text.strip() == prompt.strip()


def _number(text: str) -> float:
    """A weight as it is written, within reason; 1 where it is no number."""
    try:
        return min(max(float(text), -_STRONGEST), _STRONGEST)
    except ValueError:
        return 1.0


def _joined(found: list[Segment]) -> list[Segment]:
    joined: list[Segment] = []
    for one in found:
        if joined and one.text and joined[-1].text and joined[-1].weight == one.weight:
            joined[-1].text += one.text
        else:
            joined.append(Segment(one.text, one.weight))
    return joined
