"""What is pasted into a prompt: tags of LoRAs, and signs of other programs."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from lora_gui.errors import UserError
from lora_gui.settings import DrawSettings, StackEntry
from lora_gui.studio.paths import Studio
from lora_gui.studio.things.prompt import read_as_words, resolved


@pytest.fixture
def studio(tmp_path):
    found = Studio(tmp_path)
    for name in ("cat", "Red Fox"):
        layer = "lora_unet_down_blocks_0_attentions_0_to_q"
        halves = {f"{layer}.lora_down.weight": np.ones((2, 8)), f"{layer}.lora_up.weight": np.ones((8, 2))}
        found.loras.mkdir(exist_ok=True)
        save_file(
            {key: half.astype(np.float16) for key, half in halves.items()},
            found.loras / f"{name}.safetensors",
            {"modelspec.architecture": "stable-diffusion-v1/lora"},
        )
    return found


def used(studio, prompt, **more):
    settings, notes = resolved(studio, DrawSettings(prompt=prompt, **more))
    stack = [(Path(entry.lora).stem, entry.strength) for entry in settings.stack]
    return settings.prompt, stack, notes


@pytest.mark.parametrize(
    ("prompt", "text", "strength"),
    [
        ("red apple <lora:cat:0.8>", "red apple", 0.8),
        ("<lora:cat> red apple", "red apple", 1.0),
        ("red <lora:cat:-0,5> apple", "red apple", -0.5),
        ("red <LoRA: Cat : 2 > apple", "red apple", 2.0),
        ("red apple, <lyco:cat.safetensors:1>", "red apple,", 1.0),
        ("red\n<lora:cat:0.8:0.8>\napple", "red\n \napple", 0.8),
    ],
)
def test_a_tag_goes_into_the_stack_and_out_of_the_text_and_is_said(studio, prompt, text, strength):
    found, stack, notes = used(studio, prompt)
    assert found == text and stack == [("cat", strength)]
    assert notes == [f"As the prompt says, cat is used at {strength:g}."]


def test_several_tags_keep_their_order_behind_the_stack_and_a_name_may_hold_a_gap(studio):
    stack = (StackEntry(lora="/elsewhere/dog.safetensors", strength=0.3),)
    text, found, _ = used(studio, "a <lora:Red Fox:0.5><lora:cat:1> b", stack=stack)
    assert text == "a b" and found == [("dog", 0.3), ("Red Fox", 0.5), ("cat", 1.0)]


def test_of_two_tags_of_one_lora_the_last_counts_as_in_the_rows_of_the_window(studio):
    _, found, notes = used(studio, "a <lora:cat:0.3> <lora:Red Fox:1> <lora:cat:0.8>")
    assert found == [("cat", 0.8), ("Red Fox", 1.0)] and "cat is used at 0.8" in notes[0] and len(notes) == 2


def test_the_strength_in_the_prompt_counts_where_the_stack_has_the_same_lora(studio):
    stack = (StackEntry(lora=str(studio.loras / "cat.safetensors"), strength=0.3),)
    _, found, notes = used(studio, "a <lora:cat:0.8>", stack=stack)
    assert found == [("cat", 0.8)] and any("the strength in the prompt counts" in note for note in notes)


@pytest.mark.parametrize("tag", ["<lora:cat:0.5:0.8>", "<lora:cat:te=0.5:unet=0.8>"])
def test_a_strength_for_the_text_encoder_counts_there_and_is_said(studio, tag):
    settings, notes = resolved(studio, DrawSettings(prompt=tag))
    assert [(entry.strength, entry.text_strength) for entry in settings.stack] == [(0.8, 0.5)]
    assert any("Its text encoder is at 0.5." in note for note in notes)
    _, _, notes = used(studio, "<lora:cat:1:1:16:lbw=OUT>")
    assert any("left out of '<lora:cat:1:1:16:lbw=OUT>': 16, lbw=OUT" in note for note in notes)


def test_a_tag_that_names_nothing_or_no_strength_is_refused_in_a_sentence(studio, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="There is no LoRA 'catt'.*Did you mean 'cat'"):
        used(studio, "<lora:catt:1> apple")
    with pytest.raises(UserError, match="strength in '<lora:cat:strong>' is not a number"):
        used(studio, "<lora:cat:strong>")
    with pytest.raises(UserError, match="Strength can be at most 2"):
        used(studio, "<lora:cat:3>")
    with pytest.raises(UserError, match="strength in '<lora:cat:nan>' is not a number"):
        used(studio, "<lora:cat:nan>")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (studio.loras / "cat.safetensors").rename(elsewhere / "cat.safetensors")
    monkeypatch.chdir(elsewhere)
    with pytest.raises(UserError, match="There is no LoRA"):  # a prompt of a stranger opens no file
        used(studio, f"<lora:{elsewhere / 'cat.safetensors'}:1>")


@pytest.mark.parametrize("choice", ["{<lora:cat:1>|<lora:Red Fox:1>}", "{b|{<lora:cat:1>|d}}", "{<lora:cat> {b|c}|d}"])
def test_a_tag_in_a_choice_is_refused_and_beside_one_it_counts(studio, choice):
    with pytest.raises(UserError, match="stands in a choice"):
        used(studio, f"a <lora:cat:0.5> {choice}")
    assert used(studio, "a {b|{c|d}} {e} <lora:cat:0.5>")[:2] == ("a {b|{c|d}} {e}", [("cat", 0.5)])


def test_a_tag_in_the_negative_prompt_is_left_out_and_that_is_said(studio):
    settings, notes = resolved(studio, DrawSettings(prompt="a", negative_prompt="grey <lora:cat:1>"))
    assert (settings.negative_prompt, settings.stack) == ("grey", ()) and "negative prompt" in notes[0]


WEIGHTS = ["(word:1.2)", "((word))", "[word]", "BREAK", "\\("]
OTHERS = ["{word}", "__col*__", "[a|b]", "[a:b:0.5]", "<hypernet:ink:1>", "AND", "embedding:easy", "--w 512", "word++"]


@pytest.mark.parametrize("sign", WEIGHTS + OTHERS)
def test_signs_that_are_read_as_plain_words_are_named_once(studio, sign):
    text, _, notes = used(studio, f"red {sign} apple {sign}")
    assert text == f"red {sign} apple {sign}"
    assert len(notes) == 1 and "Read as plain words" in notes[0] and repr(sign) in notes[0]


def test_signs_that_the_base_heeds_are_not_said_to_be_words():
    for sign in WEIGHTS:
        assert read_as_words([sign], "sd1") == "" and sign in read_as_words([sign], "flux1").replace("\\\\", "\\")
    for sign in ("{a|b}", "__colour__", "{2$$a|b}", "__dark/red__"):
        assert sign in read_as_words([sign], "sd1") and read_as_words([sign], "sd1", wildcards=True) == ""
    for sign in OTHERS:
        assert sign in read_as_words([sign], "sd1", wildcards=True)


@pytest.mark.parametrize("prompt", ["an apple (on a table), 5:30 pm", "rock and roll - well-lit", "a > b < c: d", ""])
def test_an_ordinary_prompt_stays_as_it_is_and_nothing_is_said(studio, prompt):
    settings = DrawSettings(prompt=prompt)
    assert resolved(studio, settings) == (settings, [])
