"""The form that is made from the settings."""

import gradio as gr
import pytest

from lora_gui.errors import SettingError
from lora_gui.settings import TrainSettings
from lora_gui.ui.widgets import form
from lora_gui.ui.widgets.draft_form import _fault


@pytest.fixture(scope="module")
def fields():
    with gr.Blocks():
        return form.build()


def test_every_setting_has_one_component_with_its_label_and_help(fields):
    assert list(fields) == list(TrainSettings.model_fields)
    for name, info in TrainSettings.model_fields.items():
        assert fields[name].label == info.title
        assert fields[name].info.startswith(info.description)


def test_a_new_setting_would_appear_under_the_last_heading():
    named = [name for _, names in form.grouped() for name in names]
    assert sorted(named) == sorted(TrainSettings.model_fields)
    assert "noise_offset" in form.grouped()[-1][1]


def test_the_bounds_stand_in_the_help(fields):
    assert "1 to 256." in fields["rank"].info
    assert "64 to 2,048, in steps of 8." in fields["resolution"].info
    assert "Above 0, up to 2." in fields["learning_rate"].info


def test_what_the_user_typed_stands_as_it_was_typed_and_counts_as_a_setting():
    hand = {"rank": 8.0, "sample_prompts": "a fox\n\n a boat ", "learning_rate": 2e-4}
    assert form.usable(hand) == ({"rank": 8, "sample_prompts": ("a fox", "a boat"), "learning_rate": 2e-4}, {})
    shown = form.shown(TrainSettings(rank=8), hand)
    assert list(shown) == list(TrainSettings.model_fields)
    assert shown["sample_prompts"] == "a fox\n\n a boat " and shown["steps"] == TrainSettings().steps


@pytest.mark.parametrize(("name", "typed"), [("rank", 9999), ("steps", 8.5), ("optimizer", "adamw9")])
def test_a_wrong_one_is_named_stays_visible_and_leaves_the_others_in_force(name, typed):
    found, wrong = form.usable({"seed": 7, name: typed})
    assert found == {"seed": 7} and TrainSettings.model_fields[name].title in wrong[name].what
    assert form.shown(TrainSettings(), {name: typed})[name] == typed


def test_a_setting_of_another_version_is_passed_over():
    assert form.usable({"no_such_setting": 1}) == ({}, {})


def test_what_is_wrong_with_a_switch_is_mended_by_switching_it():
    for instead, words in ((False, "Switch off"), (True, "Switch on"), (1, "Use 1")):
        assert _fault(SettingError("It cannot be that.", "", "dora", instead))["use"] == words
