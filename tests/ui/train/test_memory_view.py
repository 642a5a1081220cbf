"""The memory bar under the plan: what it says before a plan is there, with it, and where the training does not fit."""

import gradio as gr
import pytest

from lora_gui.protocol.jobs import Base
from lora_gui.settings import TrainSettings
from lora_gui.studio.capacity import fit, gpu, plans
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.ui.context import Context
from lora_gui.ui.train.memory_view import MemoryView

BASE = Base(key="sdxl", title="A base", family="sdxl", path="")
FITS = {"peak_gib": 9.4, "fits": True, "changed": {}, "notes": []}


@pytest.fixture
def view(tmp_path, monkeypatch):
    """A view for a card of 12 GB; `view.plan` is what is found, each time it is asked for."""
    monkeypatch.setattr(gpu, "memory", lambda: 12.0)
    monkeypatch.setattr(fit, "is_tight", lambda base: base is BASE)
    with gr.Blocks():
        made = MemoryView(Context(Studio(tmp_path), Drawer(Studio(tmp_path))))
    made.plan, made.asked = FITS, []
    monkeypatch.setattr(plans, "ask", lambda studio, questions: made.asked.append(questions) or [made.plan])
    return made


def shown(view, changes):
    proposal, words, button = (changes[part] for part in view.outputs)
    return words, proposal, button["visible"]


def test_a_plan_is_counted_once_and_said_at_once_afterwards(view):
    assert "Counting the memory" in shown(view, view.counting(BASE, TrainSettings()))[0]
    words, proposal, offered = shown(view, view.counted(BASE, TrainSettings()))
    assert "9.4 of 12 GB" in words and "card" not in words and not proposal and not offered  # a Mac has one memory
    assert shown(view, view.counting(BASE, TrainSettings()))[0] == words
    view.counted(BASE, TrainSettings(rank=8))
    assert len(view.asked) == 2


def test_what_does_not_fit_comes_with_the_smallest_step_that_does(view):
    less = {"gradient_checkpointing": "blocks"}
    view.plan = FITS | {"peak_gib": 11.2, "changed": less, "notes": ["Recomputing is on."]}
    words, proposal, offered = shown(view, view.counted(BASE, TrainSettings()))
    assert "too large as it stands" in words and "Recomputing is on." in words and "11.2 of 12 GB" in words
    assert proposal == less and offered
    view.plan = FITS | {"peak_gib": 14.0, "fits": False, "notes": ["It needs 60 GB of RAM."]}
    words, _, offered = shown(view, view.counted(BASE, TrainSettings(rank=8)))
    assert "too large for this computer" in words and "60 GB of RAM" in words and not offered


def test_where_there_is_room_it_offers_to_be_quicker(view):
    gain = "Recomputing nothing leaves room too: each step takes about 30 % less."
    view.plan = FITS | {"quicker": {"gradient_checkpointing": "none"}, "gains": [gain]}
    words, proposal, offered = shown(view, view.counted(BASE, TrainSettings()))
    assert gain in words and "9.4 of 12 GB" in words and proposal == view.plan["quicker"] and offered
    assert view.counted(BASE, TrainSettings())[view.fit]["value"] == "Make it quicker"
    view.plan = FITS
    assert view.counted(BASE, TrainSettings(rank=8))[view.fit]["value"] == "Make it fit"


def test_a_card_that_is_slow_in_bf16_is_said_although_all_fits(view, monkeypatch):
    monkeypatch.setattr(gpu, "capability", lambda: (7, 5))
    view.plan = FITS | {"notes": ["Your card is quick in fp16."]}
    words, proposal, offered = shown(view, view.counted(BASE, TrainSettings()))
    assert "Your card is quick in fp16." in words and "9.4 of 12 GB" in words and not proposal and not offered
    assert view.asked[0][0].capability == (7, 5)


def test_nothing_is_said_where_memory_does_not_matter(view):
    assert shown(view, view.counting(BASE.model_copy(), TrainSettings())) == ("", {}, False)
