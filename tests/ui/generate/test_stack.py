"""The rows of the stack."""

from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest

from lora_gui.errors import UserError
from lora_gui.settings import StackEntry
from lora_gui.studio.paths import Studio
from lora_gui.ui.draft import DrawDraft, Entry
from lora_gui.ui.generate import parts, stack
from lora_gui.ui.generate.stack import ROWS, STRONGEST, Stack
from tests import making

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
    apart = (TWO[0]._replace(text_strength=0.25, up=0.5), TWO[1])
    assert stack.taken(apart, {"strength-0": 0.75})[0] == apart[0]._replace(strength=0.75)
    changed = stack.taken(TWO, {"strength-1": 0.25, "on-1": True, "strength-7": 1.5, "prompt": "a fox"})
    assert changed == (TWO[0], Entry(True, "/b.safetensors", 0.25))


def test_rows_switched_off_or_empty_are_not_drawn_with(tmp_path):
    a, c = str(tmp_path / "a"), str(tmp_path / "c")
    entries = [Entry(True, a, 0.5), Entry(False, "/b", 1.0), Entry(True, "", 1.0), Entry(True, c, STRONGEST)]
    for path in (a, c):
        Path(path).touch()
    assert stack.settings(entries) == (StackEntry(lora=a, strength=0.5), StackEntry(lora=c, strength=STRONGEST))


def test_a_lora_that_is_gone_keeps_its_row_which_says_so(tmp_path, rows):
    draft = DrawDraft(prompt="a fox", stack=TWO)
    assert stack.found_again(Studio(tmp_path), draft) == draft
    assert ("a", "/a.safetensors") in rows.show(TWO)[rows._loras[0]]["choices"]
    assert "not there any more" in rows.told(draft, "sd1")["about-0"]


def test_one_that_is_replaced_or_cut_short_says_so_in_its_row(tmp_path, rows):
    studio = Studio(tmp_path)
    path = making.lora(studio, "fox")
    draft = DrawDraft(stack=(Entry(True, str(path), 0.5),))
    assert stack.REPLACED not in rows.told(draft, "sd1")["about-0"]
    making.lora(studio, "fox", **{"modelspec.trigger_phrase": "other words"})
    assert stack.REPLACED not in rows.told(draft, "sd1")["about-0"], "the same weights"
    making.lora(studio, "fox", rank=8)
    assert stack.REPLACED in rows.told(draft, "sd1")["about-0"]
    path.write_bytes(path.read_bytes()[:-100])
    told = rows.told(draft, "sd1")["about-0"]
    assert 'class="why"' in told and "Put a whole one in its place" in told and "parts" not in told


def test_details_ask_for_what_the_lora_changes_and_say_what_differs_elsewhere(tmp_path):
    studio = Studio(tmp_path)
    draft = DrawDraft(stack=(Entry(True, str(making.lora(studio, "fox")), 0.5),))
    assert "<input" not in parts.fields(0, draft.stack[0]) and parts.ONE in parts.fields(0, draft.stack[0])
    path = making.lora(studio, "both", layers=(making.LAYER, "lora_te_text_model_encoder_layers_0_mlp_fc1"), dora=True)
    draft = replace(draft, stack=(Entry(True, str(path), 0.5),))
    told = parts.fields(0, draft.stack[0])
    assert all(f'data-part="{part}"' in told for part in ("text_strength", "down")) and 'data-part="up"' not in told
    assert "diffusers" in told
    draft = parts.changed(draft, 0, "text_strength=0,25")
    assert draft.stack[0].text_strength == 0.25 and "text encoder 0.25" in parts.fields(0, draft.stack[0])
    assert parts.changed(draft, 0, "text_strength= ").stack[0].text_strength is None
    for said in ("down=nan", "down=much", "down=1e999", "lora=0.5"):
        with pytest.raises(UserError):
            parts.changed(draft, 0, said)


def test_what_is_kept_under_a_name_comes_back_with_the_strengths_of_its_parts(tmp_path):
    studio = Studio(tmp_path)
    rows = (Entry(True, str(making.lora(studio, "fox")), 0.5, 0.25, up=0.0), Entry(False, "/gone", 0.25))
    stack.saved(studio, DrawDraft(stack=rows), "woods")
    assert stack.called(studio, DrawDraft(), "woods").stack == rows[:1]
    with pytest.raises(UserError, match="at most 2"):
        stack.saved(studio, DrawDraft(stack=(rows[0]._replace(up=9.0),)), "woods")


def test_a_strength_of_the_text_encoder_stands_in_the_tag_and_shares_of_blocks_do_not(tmp_path):
    studio = Studio(tmp_path)
    row = Entry(True, str(making.lora(studio, "fox")), 0.5, up=0.25)
    before = DrawDraft("a boat <lora:fox:0.5>", stack=(row,))
    after = stack.in_step(studio, before, replace(before, stack=(row._replace(text_strength=0.75),)))
    assert after.prompt == "a boat <lora:fox:0.75:0.5>"
    typed = stack.in_step(studio, after, replace(after, prompt="a boat <lora:fox:0.2:0.9>"))
    assert typed.stack == (row._replace(strength=0.9, text_strength=0.2),)
    assert stack.untagged(studio, typed) == "a boat"
