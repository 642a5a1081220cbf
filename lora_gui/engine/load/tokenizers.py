"""The tokenizers of bases of one file, which carry none: CLIP's and T5's, made of the app's own lists of pieces."""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers import CLIPTokenizer, PreTrainedTokenizerBase, T5Tokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from lora_gui import families

CLIP, T5 = families.CLIP_TOKENIZER, families.T5_TOKENIZER
_PADDING = {"tokenizer": "<|endoftext|>", "tokenizer_2": "!"}  # as Stable Diffusion XL was trained, 1.x has the first
_LENGTH, _LENGTH_T5 = 77, 512  # tokens
_EXTRA = 100  # pieces of T5's that stand for gaps


def of(found: dict[str, Any]) -> dict[str, PreTrainedTokenizerBase]:
    """The tokenizers of a configuration's text encoders, by their folders."""
    texts = {name: part["class"] for name, part in found["components"].items() if name.startswith("text_encoder")}
    return {
        beside(name): t5_tokenizer() if kind == "T5EncoderModel" else clip_tokenizer(beside(name))
        for name, kind in texts.items()
    }


def beside(part: str) -> str:
    """The folder of a text encoder's tokenizer; of any other network its own."""
    return part.replace("text_encoder", "tokenizer")


def clip_tokenizer(name: str) -> CLIPTokenizer:
    """CLIP's byte-level BPE tokenizer: all bytes, the same at the end of a word, the merges, and two special tokens.

    `name` is that of its folder in the base, which decides the padding token."""
    text = (CLIP / "merges.txt").read_text(encoding="utf-8")
    merges = [tuple(line.split(" ")) for line in text.splitlines()]
    letters = list(bytes_to_unicode().values())
    words = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(pair) for pair in merges)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(
        vocab={word: number for number, word in enumerate(words)},
        merges=merges,
        model_max_length=_LENGTH,
        bos_token="<|startoftext|>",
        eos_token="<|endoftext|>",
        unk_token="<|endoftext|>",
        pad_token=_PADDING[name],
    )


@functools.cache
def t5_tokenizer() -> T5Tokenizer:
    """T5's SentencePiece tokenizer: unigrams with their scores, and the map by which letters are normalised."""
    pieces, charsmap = sentence_pieces(T5 / "spiece.model")
    extra = [(f"<extra_id_{n}>", 0.0) for n in reversed(range(_EXTRA))] if len(pieces) > _EXTRA else []
    return T5Tokenizer(
        vocab=[*pieces, *extra],
        _spm_precompiled_charsmap=charsmap or None,
        extra_ids=len(extra),
        model_max_length=_LENGTH_T5,
    )


def sentence_pieces(path: Path) -> tuple[list[tuple[str, float]], bytes]:
    """The pieces with their scores and the map of letters in a model of SentencePiece's (a protocol buffer:
    sentencepiece_model.proto, ModelProto)."""
    pieces, charsmap = [], b""
    for field, value in _fields(path.read_bytes()):
        inner = dict(_fields(value)) if field in (1, 3) else {}
        if field == 1:  # SentencePiece: 1 its text, 2 its score
            score = float(struct.unpack("<f", inner[2])[0])
            pieces.append((inner[1].decode("utf-8"), score))
        elif field == 3:  # NormalizerSpec: 2 the map
            charsmap = inner.get(2, b"")
    return pieces, charsmap


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields of a message: their numbers and what stands in them; numbers of variable length are passed over."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            _, at = _varint(data, at)
            continue
        size, at = _varint(data, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value, at
