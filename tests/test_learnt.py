"""Captions as they are learnt: where the trigger word stands in them."""

import pytest

from lora_gui.protocol import learnt


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a red apple", "zxy a red apple"),
        ("", "zxy"),
        ("  ", "zxy"),
        ("a zxy apple", "a zxy apple"),
        ("An apple, ZXY.", "An apple, ZXY."),
        ("zxyz apple", "zxy zxyz apple"),
    ],
)
def test_the_trigger_stands_first_unless_the_caption_says_it(caption, expected):
    assert learnt.with_trigger("zxy", caption) == expected


@pytest.mark.parametrize("sign", ["[trigger]", "{trigger}", "<trigger>", "[name]", "[Trigger]", "{{trigger_word}}"])
def test_placeholders_of_other_trainers_become_the_trigger(sign):
    assert learnt.with_trigger("zxy", f"{sign}, an apple") == "zxy, an apple"
    assert learnt.with_trigger(r"z\1", f"an apple by {sign} and {sign}") == r"an apple by z\1 and z\1"
    assert learnt.with_trigger("", f"{sign} an apple") == "an apple"
    assert learnt.with_trigger("zxy", "a [named] (name) <lora:name:1>") == "zxy a [named] (name) <lora:name:1>"


@pytest.mark.parametrize("caption", ["zxy, fox ||| red, hat", "zxy, fox, ||| ,red, hat|||", "|||zxy, fox|||red, hat"])
def test_what_parts_fixed_tags_from_others_is_not_learnt(caption):
    assert learnt.with_trigger("zxy", caption) == "zxy, fox, red, hat"


def test_without_a_trigger_the_caption_stays():
    assert learnt.with_trigger("", "a red apple") == "a red apple"
