"""The pieces of a word, as the tokenizers themselves would have it."""

import json

import pytest

from lora_gui.engine.load import tokenizers
from lora_gui.formats import tokenizer
from lora_gui.studio.things.bases import SHIPPED
from tests import tiny_tokenizers

WORDS = (
    "style fox Fox watercolor zxy_style redapple MyStyle 12345 a1b2 zorvik größe niño кошка 猫 女人 고양이 قطة "
    "बिल्ली γάτα d'arc zxy-style ohwx naïve Ünïcödé"
).split() + ["red apple", " fox", "photo of Anna", "می\u200cخواهم"]


@pytest.fixture(scope="module")
def kinds():
    return {kind: make() for kind, make in tiny_tokenizers.KINDS.items()}


def counted(reference, word):
    """How many pieces the reference has; a space alone is none."""
    encoded = reference.encode(word, add_special_tokens=False)
    return sum(piece.strip("Ġ▁") != "" for piece in encoded.tokens)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("kind", tiny_tokenizers.KINDS)
def test_a_word_is_cut_as_the_tokenizers_library_cuts_it(kinds, kind, apart, tmp_path):
    apart = apart and kind != "t5"  # which has no merges
    ours = tokenizer.of_folder(tiny_tokenizers.save(kinds[kind], tmp_path / "tokenizer", apart))
    for word in WORDS:
        whole = "".join(ours.pieces(word))
        said = word.lower() if kind == "clip" else word
        assert tokenizer.UNREADABLE in whole or whole == said.replace(" ", ""), word
        assert len(ours.pieces(word)) == counted(kinds[kind], word), (word, ours.pieces(word))


def test_what_ships_with_the_app_is_read():
    [ours], unread = tokenizer.of_base(SHIPPED)
    assert ours.pieces("a cat, Zxy") == ("a", "cat", ",", "z", "x", "y") and not unread


def test_clip_keeps_its_merges_in_one_place_for_all():
    ours = tokenizer.clip(tokenizer.Path(tokenizer.__file__).parents[1] / "families/shared/clip_tokenizer/merges.txt")
    assert ours.pieces("zxy_style by sks") == ("z", "xy", "_", "style", "by", "sks")


@pytest.mark.parametrize(
    "said",
    [
        "{", "[]", "null", "{}", '{"model": null}', '{"model": {"type": "WordPiece", "vocab": {}}}',
        '{"model": {"type": "Unigram", "vocab": [1]}}',
        '{"model": {"merges": 5}, "pre_tokenizer": {"type": "ByteLevel"}}',
        '{"model": {"merges": [[1, 2]]}, "pre_tokenizer": {"type": "ByteLevel"}}', "[" * 100_000,
        json.dumps({"model": {"merges": ["a b"]}}), '{"model": {"type": "Unigram", "vocab": [["a", "b"]]}}',
    ],
)  # fmt: skip
def test_a_tokenizer_that_cannot_be_read_is_named_and_nothing_is_raised(tmp_path, said):
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "tokenizer.json").write_text(said)
    assert tokenizer.of_base(tmp_path) == ((), ("tokenizer",))


def test_every_tokenizer_of_a_base_is_read_those_of_its_further_folders_too(tmp_path):
    tiny_tokenizers.save(tiny_tokenizers.qwen(), tmp_path / "tokenizer")
    tiny_tokenizers.save(tiny_tokenizers.t5(), tmp_path / "prior" / "tokenizer")
    (tmp_path / "tokenizer_2").mkdir()
    found, unread = tokenizer.of_base(tmp_path)
    assert {type(one) for one in found} == {tokenizer.BytePairs, tokenizer.Unigram} and unread == ("tokenizer_2",)


CAPTIONS = (
    "a photo of a cat, 4k (masterpiece:1.2)", "1girl, snake_case, __wild__ [trigger] {a|b}", "x² m³ ½ cup ① Ⅷ 10٪ ٣",
    "e\u0301 na\u00efve caf\u00e9 ﬁn ＡＢＣ ｶﾅ ㎏ №5", "日本語の女の子、桜 हिन्दी में ไทยแลนด์", "…—–“”‘’«» don't it's I'D",
    "http://a.b/c?d=e#f <lora:x:1>", "a" * 40, "a cat, " * 60,
)  # fmt: skip


@pytest.mark.parametrize("kind", ["clip", "t5"])
def test_as_many_pieces_are_counted_as_the_base_reads(kind, tmp_path):
    reference = tokenizers.clip_tokenizer("tokenizer") if kind == "clip" else tokenizers.t5_tokenizer()
    reference.save_pretrained(tmp_path)
    ours = tokenizer.of_folder(tmp_path)
    for caption in CAPTIONS:
        read = reference(caption.strip(), add_special_tokens=False, truncation=False)["input_ids"]
        assert ours.count(caption.strip()) == len(read), caption
