"""The rows of the stack."""

import gradio as gr
import pytest

from lora_gui.settings import StackEntry
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.ui.context import Context
from lora_gui.ui.generate import stack
from lora_gui.ui.generate.stack import ROWS, STRONGEST, Entry, Stack


@pytest.fixture
def rows(tmp_path):
    studio = Studio(tmp_path)
    with gr.Blocks(), gr.Tabs() as tabs, gr.Tab("One"):
        return Stack(Context(studio, Drawer(studio), tabs, gr.State(("", 0))))


def test_only_the_rows_that_are_shown_count(rows):
    given = [
        2,
        True,
        "/a.safetensors",
        0.5,
        False,
        "/b.safetensors",
        1,
        *[True, "/hidden.safetensors", 1.0] * (ROWS - 2),
    ]
    assert rows.entries(given) == [Entry(True, "/a.safetensors", 0.5), Entry(False, "/b.safetensors", 1.0)]


def test_rows_switched_off_or_empty_are_not_drawn_with():
    entries = [Entry(True, "/a", 0.5), Entry(False, "/b", 1.0), Entry(True, None, 1.0), Entry(True, "/c", STRONGEST)]
    assert stack.settings(entries) == (StackEntry(lora="/a", strength=0.5), StackEntry(lora="/c", strength=STRONGEST))


def test_a_lora_that_is_gone_leaves_the_stack(rows):
    changes = rows.show([Entry(True, "/gone.safetensors", 1.0)])
    assert changes[rows.outputs[0]] == 0
