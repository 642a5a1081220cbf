"""The rows of the stack."""

import gradio as gr
import pytest

from lora_gui.settings import StackEntry
from lora_gui.studio.paths import Studio
from lora_gui.ui.draft import DrawDraft, Entry
from lora_gui.ui.generate import stack
from lora_gui.ui.generate.stack import ROWS, STRONGEST, Stack

TWO = (Entry(True, "/a.safetensors", 0.5), Entry(False, "/b.safetensors", 1.0))


@pytest.fixture
def rows(tmp_path):
    with gr.Blocks():
        return Stack(Studio(tmp_path))


def test_as_many_rows_are_shown_as_there_are_loras_in_use(rows):
    changes = rows.show(TWO)
    assert [changes[row]["visible"] for row in rows._rows] == [True, True] + [False] * (ROWS - 2)


def test_what_is_changed_in_a_row_changes_that_row_alone(rows):
    assert list(stack.values(TWO)) == list(rows.fields)[:6]
    changed = stack.taken(TWO, {"strength-1": 0.25, "on-1": True, "strength-7": 1.5, "prompt": "a fox"})
    assert changed == (TWO[0], Entry(True, "/b.safetensors", 0.25))


def test_rows_switched_off_or_empty_are_not_drawn_with():
    entries = [Entry(True, "/a", 0.5), Entry(False, "/b", 1.0), Entry(True, "", 1.0), Entry(True, "/c", STRONGEST)]
    assert stack.settings(entries) == (StackEntry(lora="/a", strength=0.5), StackEntry(lora="/c", strength=STRONGEST))


def test_a_lora_that_is_gone_leaves_the_stack(tmp_path):
    assert stack.without_the_gone(Studio(tmp_path), DrawDraft(prompt="a fox", stack=TWO)) == DrawDraft(prompt="a fox")
