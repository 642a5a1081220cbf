"""Two LoRAs and more, as the page asks about them: whether they fight, balanced, in turns, and saved as one."""

from types import SimpleNamespace

import gradio as gr
import pytest

from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.ui.context import Context
from lora_gui.ui.draft import Entry
from lora_gui.ui.generate import fight_words, generate_tab
from tests import making
from tests.ui.answers import Page


@pytest.fixture
def page(tmp_path):
    studio = Studio(tmp_path / "studio")
    with gr.Blocks():
        context = Context(studio, Drawer(studio))
        order = generate_tab._Order(context)
        order.connect(generate_tab.Gallery(context, order.remark))
    return Page(context, order, order._form)


def in_stack(page, *strengths):
    """`fox` and `owl` and so on; each is twice as large as the one before."""
    names = ("fox", "owl", "cat")[: len(strengths)]
    paths = [str(making.lora(page.studio, name, value=2.0**n / 8)) for n, name in enumerate(names)]
    rows = tuple(Entry(True, path, strength) for path, strength in zip(paths, strengths, strict=True))
    page.setup._change(lambda draft: generate_tab.replace(draft, stack=rows))
    return page.take(page.setup._look({}))


def press(page, act, word=""):
    """Everything that is seen until the answer, and the answer."""
    seen = list(page.setup._together._pressed(SimpleNamespace(act=act, word=word), page.shown))
    return page.take(seen[-1])


def strengths(page):
    return [entry.strength for entry in page.context.drafts.draw.value.stack]


def test_one_lora_alone_is_asked_nothing(page):
    assert in_stack(page, 0.8)["fight"] == ""
    shown = in_stack(page, 0.8, 0.8)
    assert fight_words.TITLE in shown["fight"] and "<table" not in shown["fight"]
    assert "See both at several strengths" in shown["fight"]
    assert "See the first two at several strengths" in in_stack(page, 0.8, 0.8, 0.8)["fight"]
    in_stack(page, 0.8, 0.8)
    assert page.take(page.setup._edited(SimpleNamespace(changes={"on-0": False}), page.shown))["fight"] == ""


def test_what_fights_is_said_and_balance_goes_there_and_back_in_the_same_place(page):
    in_stack(page, 0.8, -0.8)
    told = press(page, "fight")["fight"]
    assert "in the same way" in told and "4.0 ×" in told and told.count("<tr") == 3
    assert "fox 0.8 → 0.8, owl -0.8 → -0.2" in told and 'data-act="balance"' in told
    told = press(page, "balance")["fight"]
    assert strengths(page) == [0.8, -0.2] and "Balanced: fox 0.8 → 0.8, owl -0.8 → -0.2" in told
    told = press(page, "undo")["fight"]
    assert strengths(page) == [0.8, -0.8] and 'data-act="balance"' in told
    page.take(page.setup._edited(SimpleNamespace(changes={"strength-1": -0.2}), page.shown))
    assert 'data-act="undo"' in press(page, "fight")["fight"], "by hand it is the same as balanced"
    shown = page.take(page.setup._edited(SimpleNamespace(changes={"strength-1": -0.25}), page.shown))
    assert 'data-act="balance"' in shown["fight"]


def test_strengths_are_proposed_with_a_reason_or_not_at_all(page):
    in_stack(page, 0.8, 0.2)  # the second is four times as large
    assert 'data-act="balance"' not in press(page, "fight")["fight"], "each changes the base as much as the other"
    in_stack(page, 0.8, 0.5)
    told = press(page, "fight")["fight"]
    assert "owl changes the base 4.0 times as much as fox" in told and "So that each changes the base as much: " in told
    assert "blocks" not in told


def test_another_stack_is_asked_about_anew_and_a_damaged_one_says_why(page):
    in_stack(page, 0.8, 0.8)
    press(page, "fight")
    assert "<table" not in in_stack(page, 0.8, 0.8, 0.8)["fight"]
    assert "<table" in press(page, "fight")["fight"]
    making.lora(page.studio, "owl", value=float("nan"))
    assert "<table" not in page.take(page.setup._look({}))["fight"], "it was replaced"
    assert "owl" in press(page, "fight")["fight"] and strengths(page) == [0.8, 0.8, 0.8]
    assert press(page, "balance")["fight"] and strengths(page) == [0.8, 0.8, 0.8]


def test_a_mix_is_saved_as_one_lora_which_takes_the_place_of_the_others(page):
    in_stack(page, 0.5, 0.25)
    page.take(page.setup._edited(SimpleNamespace(changes={"mix_name": "both", "mix_rank": 1.5}), page.shown))
    seen = list(page.setup._together._mixed(page.shown))
    place = page.setup._together._saved
    assert "whole number" in seen[-2][place], "and nothing was saved"
    page.take(page.setup._edited(SimpleNamespace(changes={"mix_rank": None}), page.shown))
    seen = list(page.setup._together._mixed(page.shown))
    assert "does exactly what the stack did; rank 8" in seen[-2][place]
    page.take(page.setup._opened(page.shown))
    assert 'data-pick="both.safetensors"' in page.changes[page.setup._picker.picks]
    page.take(page.setup._edited(SimpleNamespace(changes={"mix_rank": 2}), page.shown))
    assert "it keeps 100.0 %" in list(page.setup._together._mixed(page.shown))[-2][place]
    page.take(page.setup._together._chosen(SimpleNamespace(act="use", word="both.safetensors"), page.shown))
    [entry] = page.context.drafts.draw.value.stack
    assert entry == Entry(True, str(page.studio.loras / "both.safetensors"), 1.0)
    page.take(page.setup._together._chosen(SimpleNamespace(act="use", word="../x"), page.shown))
    assert page.context.drafts.draw.value.stack == (entry,)


def test_what_a_smaller_mix_keeps_is_said_before_it_is_saved_and_its_rank_chosen(page):
    in_stack(page, 0.5, 0.25)
    page.take(page.setup._edited(SimpleNamespace(changes={"mix_rank": 3}), page.shown))
    place = page.setup._together._saved
    told = list(page.setup._together._asked(page.shown))[-2][place]
    assert "An exact mix has rank 8." in told and "Rank 3 keeps 100.0 %" in told and "Rank 8" not in told
    page.take(page.setup._together._chosen(SimpleNamespace(act="rank", word="4"), page.shown))
    assert page.context.drafts.draw.value.desk["mix_rank"] == 4
    making.lora(page.studio, "owl", dora=True)
    assert "owl is a DoRA" in list(page.setup._together._asked(page.shown))[-2][place]


def test_taking_turns_is_asked_for_with_the_drawing(page):
    in_stack(page, 0.5, 0.25)
    changes = {"prompt": "a fox", "turns": True}
    assert page.take(page.setup._edited(SimpleNamespace(changes=changes), page.shown))["turns"] is True
    assert page.setup.asked()[1].turns
