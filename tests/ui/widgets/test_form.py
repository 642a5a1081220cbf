"""The form that is made from the settings."""

import gradio as gr
import pytest

from lora_gui.settings import TrainSettings
from lora_gui.ui.widgets import form


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


def test_only_what_the_user_changed_counts_as_the_users_hand():
    filled = form.shown(TrainSettings())
    values = list((filled | {"rank": 8.0, "sample_prompts": "a fox\n\n a boat "}).values())
    assert form.by_hand(values, filled) == {"rank": 8, "sample_prompts": ("a fox", "a boat")}


def test_an_emptied_field_falls_back_to_the_preset():
    filled = form.shown(TrainSettings())
    assert form.by_hand(list((filled | {"steps": None}).values()), filled) == {}


def test_nothing_counts_before_the_preset_has_filled_the_form():
    assert form.by_hand(list(form.shown(TrainSettings(rank=4)).values()), {}) == {}
