"""A small tokenizer of each kind that bases have, learnt from a few sentences and saved as bases have them."""

import json
import string
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from lora_gui import families

TEXT = "a photo of a red fox, a woman and a cat in a watercolor style by Anna, the art of an ordinary picture".split()
CLIP = r"<\|startoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def clip() -> Tokenizer:
    """CLIP's own, with every piece that it has."""
    text = (families.CLIP_TOKENIZER / "merges.txt").read_text(encoding="utf-8")
    merges = [tuple(line.split()) for line in text.splitlines()]
    letters = pre_tokenizers.ByteLevel.alphabet()
    pieces = [*sorted(letters), *(f"{letter}</w>" for letter in sorted(letters)), *map("".join, merges)]
    found = Tokenizer(models.BPE({piece: n for n, piece in enumerate(pieces)}, merges, end_of_word_suffix="</w>"))
    found.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    found.pre_tokenizer = _apart(CLIP)
    return found


def qwen() -> Tokenizer:
    """Byte pairs with the space before a word as a part of it; capitals stay."""
    found = Tokenizer(models.BPE())
    found.normalizer = normalizers.NFC()
    found.pre_tokenizer = _apart(QWEN)
    found.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    found.train_from_iterator(_sentences(), trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet))
    return found


def t5() -> Tokenizer:
    """SentencePiece's unigram model."""
    found = Tokenizer(models.Unigram())
    found.normalizer = normalizers.NFKC()
    found.pre_tokenizer = pre_tokenizers.Metaspace()
    known = list(string.ascii_letters + string.digits + "_-'éö")
    trainer = trainers.UnigramTrainer(
        vocab_size=300, unk_token="<unk>", special_tokens=["<unk>"], initial_alphabet=known
    )
    found.train_from_iterator(_sentences(), trainer)
    return found


KINDS = {"clip": clip, "qwen": qwen, "t5": t5}


def save(tokenizer: Tokenizer, folder: Path, apart: bool = False) -> Path:
    """As `tokenizer.json`, or `apart` as vocab.json and merges.txt, as older bases have it."""
    folder.mkdir(parents=True)
    if not apart:
        tokenizer.save(str(folder / "tokenizer.json"))
        return folder
    model = json.loads(tokenizer.to_str())["model"]
    merges = "\n".join(" ".join(pair) for pair in model["merges"])
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}\n", encoding="utf-8")
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]), encoding="utf-8")
    return folder


def _apart(pattern: str) -> pre_tokenizers.PreTokenizer:
    split = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def _sentences() -> list[str]:
    return [" ".join(TEXT[n:] + TEXT[:n]) for n in range(len(TEXT))] + [word.title() for word in TEXT]
