"""Trigger words, judged by the base's tokenizers, by what every base knows, by the captions and the LoRAs there are."""

import pytest

from lora_gui.errors import SettingError
from lora_gui.protocol.jobs import Base
from lora_gui.studio.things import bases, triggers, words
from lora_gui.studio.things.triggers import begun, judge
from tests import tiny_tokenizers

STARTER = Base(key="starter", title="Starter", family="sd1", path=str(bases.SHIPPED))
# The first thing that is said of each; most of these were praised once.
VERDICTS = {
    "is an ordinary word or name": (
        "style art woman cat Fox CAT watercolor watercolour Anna Michael cats foxes painted picture trigger photo "
        "mujer Katze gatto femme renard zorro kobieta kočka žena kettu mèo köpek "
        "кошка кошки женщина лиса стиль искусство Анна γάτα γυναίκα חתול אישה قطة امرأة ثعلب گربه बिल्ली महिला "
        "แมว ผู้หญิง 고양이 여우 여자 女人 狐狸 猫咪 キツネ পাখি பூனை ｓｔｙｌｅ"
    ).split(),
    "is made of what every base knows": [
        "red apple", "redapple", "red_apple", "my_style", "MyStyle", "mystyle", "cat-woman", "photo of a fox", "style2",
        "fox_01", "w0man", "inkfox", "Anna's", "x_style", "darkfantasy", "John Smith", "johnsmith", "红青苹果",
    ],
    "Most bases know": ["sks", "ohwx"],
    "is nothing but digits": ["12345", "１２３", "٣٤٥", "12-34", "2_0"],
    "is so short": ["zx", "v2", "a-b"],
    "is one letter again and again": ["zzzzzzzz", "Qqqqqqq", "z_z_z"],
    "mixes letters of two alphabets": ["zоrvik", "Кrelut"],
    "reads fragments instead": ["кыщозну", "ぬほめろ", "ßqörß"],
    "takes 29 pieces of the base": ["zqxvkjwpzqxvkjwpzqxvkjwpzqxvk"],
    "is a good trigger word": ["zxy_style", "zxy", "zorvik", "Zorvik", "zxy style", "ZorvikBlat", "zxy_a10"],
    "is no word that every base knows": ["a1b2", "c4t", "x9_k2"],
}  # fmt: skip
CASES = [(word, sentence) for sentence, found in VERDICTS.items() for word in found]


def base(folder, *kinds):
    """A base with the tokenizers of these kinds."""
    for number, kind in enumerate(kinds):
        tiny_tokenizers.save(tiny_tokenizers.KINDS[kind](), folder / f"tokenizer_{number}")
    return Base(key="mine", title="Mine", family="flux1", path=str(folder))


@pytest.mark.parametrize(("word", "sentence"), CASES, ids=[word for word, _ in CASES])
def test_a_word_is_judged_and_a_bad_one_has_a_good_one_beside_it(word, sentence):
    found = judge(word, STARTER, [], {})
    assert sentence in found.sentences[0]
    assert (found.kind == "good") == ("good" in sentence) and (found.kind == "plain") == ("is no word" in sentence)
    assert bool(found.suggestion) == (found.kind == "doubtful")
    if found.suggestion:
        assert judge(found.suggestion, STARTER, [], {}).kind == "good"


@pytest.mark.parametrize("kinds", [("clip",), ("clip", "t5"), ("qwen",), ("clip", "clip", "t5"), ()], ids=" ".join)
def test_the_word_that_is_offered_is_good_to_every_kind_of_base(kinds, tmp_path):
    one_file = Base(key="one", title="One file", family="sdxl", path=str(tmp_path / "one.safetensors"))
    chosen = base(tmp_path, *kinds) if kinds else one_file
    taken: dict[str, str] = {}
    for seed in range(150):
        found = judge(f"{seed:03}", chosen, ["a fox"], taken)
        again = judge(found.suggestion, chosen, ["a fox"], taken)
        assert again.kind == "good" and not again.suggestion and found.suggestion not in taken
        taken[found.suggestion] = f"lora {seed}"


def test_the_pieces_are_those_of_the_chosen_base(tmp_path):
    assert "reads it as z · x · y · _ · st · y · le." in judge("zxy_style", STARTER, [], {}).sentences[0]
    assert "reads it as z · xy · _ · style." in judge("zxy_style", None, [], {}).sentences[0]
    both = judge("zxy_style", base(tmp_path, "clip", "t5"), [], {}).sentences[0]
    assert "reads it as z · xy · _ · style and z · " in both


def test_a_word_that_only_the_base_itself_knows_is_called_so(tmp_path):
    """Written as it is there: the pieces of many bases tell capitals apart."""
    tokenizer = tiny_tokenizers.Tokenizer(tiny_tokenizers.models.Unigram([("▁", -1.0), ("▁Zorvik", -2.0)], 0))
    tiny_tokenizers.save(tokenizer, tmp_path / "tokenizer")
    found = judge("Zorvik", Base(key="t", title="T", family="flux1", path=str(tmp_path)), [], {})
    assert (found.kind, found.sentences[0]) == ("doubtful", "This base knows Zorvik already, as a word of its own.")


def test_a_tokenizer_that_cannot_be_read_is_said_and_the_words_of_clip_count(tmp_path):
    (tmp_path / "tokenizer").mkdir()
    chosen = Base(key="t", title="Mine", family="flux1", path=str(tmp_path))
    good, bad = judge("zorvik", chosen, [], {}), judge("fox", chosen, [], {})
    said = "The tokenizer of Mine cannot be read, so it was left out."
    assert (good.kind, good.sentences[1], bad.kind, bad.sentences[1]) == ("good", said, "doubtful", said)
    assert judge(bad.suggestion, chosen, [], {}).kind == "good"


@pytest.mark.parametrize(
    ("typed", "what"),
    [
        ("", "There is no trigger word."),
        ("   ", "There is no trigger word."),
        ("x", "The trigger word 'x' is a single letter, which stands in many prompts."),
        ("🦊", "The trigger word '🦊' holds signs that prompts use for other things."),
        ("a" * 41, "The trigger word is 41 characters long."),
        ("(cat:1.2)", "The trigger word '(cat:1.2)' holds signs that prompts use for other things."),
        ("--", "The trigger word '--' holds signs that prompts use for other things."),
        ("zxy\u200bstyle", "The trigger word 'zxy\\u200bstyle' holds signs that prompts use for other things."),
    ],
)
def test_a_trigger_word_that_does_not_work_is_refused_with_one_that_does(typed, what):
    with pytest.raises(SettingError) as caught:
        judge(typed, STARTER, [], {})
    assert (caught.value.what, caught.value.setting) == (what, "trigger") and caught.value.remedy
    assert judge(caught.value.instead, STARTER, [], {}).kind == "good"


def test_a_word_with_vowel_signs_or_joiners_is_a_word():
    for word in ("बिल्ली", "ผู้หญิง", "می\u200cخواهم"):
        assert triggers.usable(word) == word


def test_a_word_that_stands_in_the_captions_keeps_its_meaning_there():
    found = judge("zorvik", STARTER, ["a red zorvik, sitting", "a Zorvik"], {})
    assert found.kind == "doubtful" and "also stands in your captions" in found.sentences[0]
    assert len(judge("cat", STARTER, ["cat, red", "a cat", "the cat"], {}).sentences) == 2


def test_captions_that_begin_with_the_trigger_word_are_praised():
    for captions in (["zxy_style, a cat", "zxy_style, a dog"], ["(zorvik) a cat", "zorvik"]):
        found = judge("zorvik" if "zorvik" in captions[0] else "zxy_style", STARTER, captions, {})
        assert found.kind == "good" and "your captions begin with it already" in found.sentences[0]
    assert begun("Zxy style", ["zxy  style, a cat", "a zxy style cat", "zxy styles", ""]) == 1
    assert judge("zxy_style", STARTER, ["a photo of zxy_style", "a dog"], {}).kind == "good"


@pytest.mark.parametrize(
    ("typed", "taken", "said"),
    [
        ("zxy_style", "zxy_style", "Your LoRA foxes answers to zxy_style already"),
        ("Zxy-Style", "zxy style", "Your LoRA foxes answers to zxy style already"),
        ("zxy_style", "ZXY_STYLE", "Your LoRA foxes answers to ZXY_STYLE already"),
        ("zxy", "zxy_style", "Your LoRA foxes answers to zxy_style; one of the two"),
        ("zxy_style", "zxy", "Your LoRA foxes answers to zxy; one of the two"),
        ("brilox", "briloxes", "Your LoRA foxes answers to briloxes; one of the two"),
        ("brilox", "a man, Brilox", "Your LoRA foxes answers to Brilox already"),
        ("brilox", "bri", ""),
        ("zxy_style", "zorvik_style", ""),
        ("zorvik", ", ,-", ""),
    ],
)
def test_a_clash_with_a_lora_names_it(typed, taken, said):
    found = judge(typed, STARTER, [], {taken: "foxes"})
    assert (found.kind == "doubtful") == bool(said) and said in found.sentences[0]
    if said:
        assert judge(found.suggestion, STARTER, [], {taken: "foxes"}).kind == "good"


def test_of_many_clashes_the_nearest_and_a_few_more_are_said():
    taken = {f"zxy_style_{n}": f"lora {n}" for n in range(9)} | {"zxy_style": "the same"}
    found = judge("zxy_style", STARTER, [], taken)
    assert found.sentences[0].startswith("Your LoRA the same answers") and len(found.sentences) == 4
    assert found.sentences[-1] == "7 more of your LoRAs have such a word."


def test_made_up_words_are_hardly_ever_taken_for_ordinary_ones():
    chance = triggers.random.Random(1)
    parts = ("bcdfgklmnprstvz", "aeiou", "bdklmnprstvz", "bdfgkmpstvz", "aeiou", "bdgklmnrtvxz")
    made = ["".join(chance.choice(part) for part in parts) for _ in range(1000)]
    wrong = [word for word in made if words.ordinary(word)]
    assert len(wrong) < 30
