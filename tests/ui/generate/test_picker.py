"""The shelf that LoRAs are added from, and what on it does not fit."""

import gradio as gr
import pytest

from lora_gui.errors import UserError
from lora_gui.studio.library import notes
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.studio.things import bases
from lora_gui.ui.context import Context
from lora_gui.ui.draft import DrawDraft, Entry
from lora_gui.ui.generate.picker import Picker
from tests import making


@pytest.fixture
def picker(tmp_path, monkeypatch):
    studio = Studio(tmp_path / "studio")
    with gr.Blocks():
        made = Picker(Context(studio, Drawer(studio)))
    keep(monkeypatch, "sd1")
    return made


def keep(monkeypatch, *families):
    """Have these bases, of which the first is chosen."""
    found = [bases.Base(key=f"a-{family}", title=family, family=family, path="/x") for family in families]
    monkeypatch.setattr(bases, "list_bases", lambda studio: found)
    monkeypatch.setattr(bases, "both", lambda studio: (found, []))


def listed(picker):
    return picker.shown()[picker.picks]


def test_nothing_to_choose_from_is_a_sentence(picker):
    with pytest.raises(UserError, match="no LoRA yet"):
        picker.shown()


def test_each_lora_is_there_once_with_its_trigger_those_with_a_star_first_and_those_in_use_not(picker):
    for name in ("fox", "owl", "cat"):
        making.lora(picker._studio, name)
    notes.change(picker._studio, "fox", star=True)
    used = Entry(True, str(picker._studio.loras / "cat.safetensors"), 1.0)
    picker._context.drafts.draw.change(lambda draft: DrawDraft(stack=(used,)))
    html = listed(picker)
    assert html.index("fox") < html.index("owl") and "cat" not in html and "zxy, Stable Diffusion 1" in html
    assert "owl" not in picker._listed("fox")


def test_what_does_not_fit_the_base_says_so_at_once_and_what_can_be_done(picker, monkeypatch):
    making.lora(picker._studio, "fox", **{"lora_studio.strength": "0.7"})
    assert "why" not in listed(picker)
    keep(monkeypatch, "sdxl")
    assert "no such base is here" in listed(picker) and " disabled" in listed(picker)
    keep(monkeypatch, "sdxl", "sd1")
    assert "<u>use that base</u>" in listed(picker) and " disabled" not in listed(picker)
    other = Entry(True, "/other.safetensors", 1.0)
    picker._context.drafts.draw.change(lambda draft: DrawDraft(stack=(other,)))
    assert "cannot be drawn together" in listed(picker) and " disabled" in listed(picker)
    assert picker.added(DrawDraft(), "fox.safetensors").stack[0].strength == 0.7
