"""The whole window, laid out but not opened."""

import gradio as gr
import pytest

from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.ui.window import TABS, build


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    studio = Studio(tmp_path_factory.mktemp("studio"))
    return build(studio, Drawer(studio))


@pytest.fixture(scope="module")
def config(window):
    return window.get_config_file()


def test_no_page_keeps_a_stream_open_or_a_clock_running(config):
    """A stream for each tab is what froze all of them at the seventh: browsers allow six connections to a host."""
    kinds = {component["type"] for component in config["components"]}
    assert config["connect_heartbeat"] is False and not kinds & {"state", "timer"}


def test_every_tab_of_the_list_is_there(config):
    labels = [one["props"]["label"] for one in config["components"] if one["type"] == "tabitem"]
    assert labels == [title for _, title, _ in TABS] == ["Train", "Generate", "Library", "Bases", "Runs"]


def test_what_one_answer_comes_to_soon_is_not_answered_over_the_stream(window, config):
    """It is closed once nothing is pending, and what is pressed at that moment is never answered."""
    kinds = {"dropzone": True, "bulk": True, "start": False, "others": False, "draw": False}
    queued = {}
    for one in config["dependencies"]:
        for target, event in one["targets"]:
            name = window.blocks[target].elem_id if target in window.blocks else None
            if name in kinds and window.fns[one["id"]].fn and event in ("upload", "select", "click"):
                queued[name] = queued.get(name, False) or bool(one["queue"])
    assert queued == kinds
    assert all(one.queue for one in window.fns.values() if one.types_generator)


def test_no_two_components_have_one_name(config):
    names = [name for one in config["components"] if (name := one["props"].get("elem_id"))]
    assert len(names) == len(set(names))


def test_no_number_that_is_sent_has_bounds_of_gradios_own(window):
    """Gradio would refuse it in its own words, which name no field, with a stack trace in the terminal."""
    sent = {field for event in window.fns.values() if event.fn for field in event.inputs}
    numbers = [field for field in sent if isinstance(field, (gr.Number, gr.Slider))]
    assert numbers and all(field.minimum is None and field.maximum is None for field in numbers)
