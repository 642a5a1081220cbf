"""Who looks when, as the server answers it."""

import json

import gradio as gr
import pytest

from lora_gui import files
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import launching, queue
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.ui.context import Context
from lora_gui.ui.live import Live, Standing


@pytest.fixture
def looks():
    """What the page is told where a drawing is at work `before` the views look, and `after` they did."""
    draws, looks, then = [], [], []

    def views_look():
        draws[:] = then
        return {}

    with gr.Blocks() as blocks:
        live = Live()
        live.watch(views_look, [], [])

        def load(look, *places, **how):
            looks.append(look)
            return blocks.load(look, *places, **how)

        live.connect(load, lambda: Standing(draws=bool(draws)))

    def answer(before, after, shown=""):
        draws[:], then[:] = [True] * before, [True] * after
        changes = looks[0](shown)
        return changes[live._pulse]

    return answer


@pytest.mark.parametrize(("before", "after", "again"), [(1, 0, True), (0, 1, True), (0, 0, False)])
def test_what_ends_or_begins_while_the_views_look_is_looked_at_once_more(looks, before, after, again):
    assert bool(json.loads(looks(before, after))["every"]) is again


def test_once_it_has_ended_nobody_looks_on(looks):
    assert json.loads(looks(False, False, looks(True, False)))["every"] == 0


def test_a_run_that_is_about_to_come_is_looked_for_unless_it_is_held(tmp_path):
    studio = Studio(tmp_path)
    with gr.Blocks():
        context = Context(studio, Drawer(studio))

    def is_looked():
        context._stirred = -1e9  # what was seen before lingers
        return context.standing().lives

    assert not is_looked()
    with launching.starting(studio):
        assert is_looked()
        files.write_json(studio.runs / "one" / "job.json", {})
        files.write_json(studio.runs / "queue.json", {"order": ["one"]})
    assert is_looked()
    queue.hold(studio, True)
    assert not is_looked()
    queue.hold(studio, False)
    assert is_looked()
