"""Prompts with weights, BREAK and more words than CLIP reads at once."""

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline

from lora_gui.engine.load import tokenizers
from lora_gui.families import family
from lora_gui.families.shared import clip
from lora_gui.families.shared.emphasis import Segment, chunks, filled, segments
from tests import tiny, tiny_stable_diffusion_xl

CPU = torch.device("cpu")


# the examples that A1111 gives for `parse_prompt_attention`, and BREAK
@pytest.mark.parametrize(
    ("prompt", "pieces"),
    [
        ("normal text", [("normal text", 1.0)]),
        ("an (important) word", [("an ", 1.0), ("important", 1.1), (" word", 1.0)]),
        ("(unbalanced", [("unbalanced", 1.1)]),
        (r"\(literal\]", [("(literal]", 1.0)]),
        ("(unnecessary)(parens)", [("unnecessaryparens", 1.1)]),
        (
            "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
            [("a ", 1.0), ("house", 1.573), (" ", 1.1), ("on", 1.0), (" a ", 1.1), ("hill", 0.55), (", sun, ", 1.1),
             ("sky", 1.4641), (".", 1.1)],
        ),
        ("red BREAK blue", [("red", 1.0), ("", 1.0), ("blue", 1.0)]),
        ("at 5:30 pm: a [dog]", [("at 5:30 pm: a ", 1.0), ("dog", 1 / 1.1)]),
        ("(a:1.2.3) (b:99)", [("a ", 1.0), ("b", 10.0)]),
        ("", [(" ", 1.0)]),
        (r"frog \m/ (\o/)", [("frog m/ ", 1.0), ("o/", 1.1)]),
        (r"a \\ b", [(r"a \ b", 1.0)]),
        ("\\", [(" ", 1.0)]),
    ],
)  # fmt: skip
def test_a_prompt_is_taken_apart_as_a1111_does(prompt, pieces):
    found = segments(prompt)
    assert [one.text for one in found] == [text for text, _ in pieces]
    assert [one.weight for one in found] == pytest.approx([weight for _, weight in pieces])


@pytest.fixture(scope="module")
def tokenizer():
    return tokenizers.clip_tokenizer("tokenizer")


def test_chunks_have_75_tokens_and_end_behind_a_comma_where_one_is_near(tokenizer):
    words = [Segment("red " * 70 + ", " + "blue " * 20)]
    first, second = chunks(tokenizer, words)
    assert len(first.ids) == 71 and tokenizer.decode(second.ids).split() == ["blue"] * 20
    far = chunks(tokenizer, [Segment("red , " + "blue " * 80)])
    assert [len(one.ids) for one in far] == [75, 7]
    apart = chunks(tokenizer, segments("red BREAK (blue:1.5)"))
    assert [tokenizer.decode(one.ids).strip() for one in apart] == ["red", "blue"] and apart[1].weights == [1.5]
    assert [len(one.ids) for one in chunks(tokenizer, segments(""))] == [0]


def test_a_filled_chunk_is_what_the_tokenizer_makes_of_the_same_words(tokenizer):
    (chunk,) = chunks(tokenizer, segments("a red apple, on blue"))
    ids, weights = filled(tokenizer, chunk)
    assert ids == clip.token_ids(tokenizer, ["a red apple, on blue"], CPU)[0].tolist()
    assert weights == [1.0] * 77


@pytest.fixture(scope="module")
def sd1(tmp_path_factory):
    base = tiny.stable_diffusion_1(tmp_path_factory.mktemp("sd1"))
    return family("sd1"), family("sd1").encoders(base, CPU, torch.float32, pictures=False), base


def test_words_without_weights_are_encoded_as_ever_bit_for_bit(sd1):
    own, encoders, _ = sd1
    found = own.encode_prompts(encoders, ("a thing", ""))
    for row, prompt in enumerate(("a thing", "")):
        assert torch.equal(found["text"][row : row + 1], own.encode_captions(encoders, [prompt])["text"])


def test_a_weight_multiplies_the_states_of_its_words_and_keeps_their_mean(sd1):
    own, encoders, _ = sd1
    plain = own.encode_captions(encoders, ["a cat"])["text"]
    weights = torch.ones(1, 16)
    weights[:, 2:5] = 1.3  # c, a and t stand behind the beginning and the a
    expected = plain * weights[..., None]
    expected = expected * (plain.mean() / expected.mean())
    torch.testing.assert_close(own.encode_prompts(encoders, ("a (cat:1.3)",))["text"], expected)


def test_more_words_than_fit_are_read_chunk_by_chunk_and_the_shorter_prompt_is_filled_up(sd1):
    own, encoders, _ = sd1
    found = own.encode_prompts(encoders, ("abcdefghijklm BREAK nop", "grey"))["text"]
    assert found.shape == (2, 32, 16)
    second = own.encode_captions(encoders, ["nop"])["text"]
    torch.testing.assert_close(found[:1, 16:], second)
    torch.testing.assert_close(found[1:, 16:], own.encode_captions(encoders, [""])["text"])


@pytest.mark.parametrize("skip", [2, 3])
def test_clip_skip_is_that_of_diffusers_which_counts_from_0(sd1, skip):
    own, encoders, base = sd1
    plain = StableDiffusionPipeline.from_pretrained(Path(base))
    object.__setattr__(plain.text_encoder, "text_model", plain.text_encoder)  # where diffusers looks for its last norm
    expected, _ = plain.encode_prompt("a thing", CPU, 1, False, clip_skip=skip - 1)
    found = own.encode_prompts(encoders, ("a thing",), skip)["text"]
    assert torch.equal(found, expected)
    assert not torch.equal(found, own.encode_prompts(encoders, ("a thing",))["text"])


def test_both_encoders_of_sdxl_heed_weights_and_an_empty_negative_prompt_stays_zero(tmp_path):
    base = tiny_stable_diffusion_xl.stable_diffusion_xl(tmp_path)
    own = family("sdxl")
    encoders = own.encoders(base, CPU, torch.float32, pictures=False)
    plain = own.encode_prompts(encoders, ("a cat", ""))
    found = own.encode_prompts(encoders, ("a (cat:1.3) BREAK x", ""))
    assert found["text"].shape[1] == 2 * plain["text"].shape[1]
    assert torch.equal(found["text"][1], torch.zeros_like(found["text"][1])) and "pooled" in found
    wide = encoders.texts["text_encoder"].config.hidden_size
    changed = found["text"][0, : plain["text"].shape[1]] != plain["text"][0]
    assert changed[:, :wide].any() and changed[:, wide:].any()
