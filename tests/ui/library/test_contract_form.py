"""The contract card as a form, and what can be given away, as the page calls them."""

import time
from pathlib import Path

import gradio as gr
import pytest
from PIL import Image

from lora_gui.errors import UserError
from lora_gui.studio.library import contracts
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.ui.context import Context
from lora_gui.ui.library import give_view, learnt_view
from lora_gui.ui.library.contract_form import WHY, ContractForm
from lora_gui.ui.widgets import long_work
from tests.studio.library.test_contracts import studio  # noqa: F401


@pytest.fixture
def page(studio):  # noqa: F811
    with gr.Blocks():
        context = Context(studio, Drawer(studio))
        form, give = ContractForm(context, "a-"), give_view.build(context, "a-")
    return form, give, str(studio.loras / "fox.safetensors")


def test_the_form_is_hidden_without_a_lora_and_begun_from_its_run_with_one(page):
    form, _, lora = page
    for none in ("", "/nowhere.safetensors"):
        assert form.shown(none)[form.panel]["visible"] is False
    shown = form.shown(lora)
    assert shown[form.panel]["visible"] and WHY in shown[form._told]
    assert shown[form._owns] == "style" and shown[form._rights] is None
    others = shown[form._others["licensed"]]["choices"]
    assert [label for label, _ in others] == ["1 a.png", "2 b.png", "3 c.png"]


def test_what_is_answered_stands_in_the_file_and_what_is_missing_is_asked_for(page):
    form, _, lora = page
    with pytest.raises(UserError, match="One answer is missing: Who can be recognised"):
        form._written({"lora": lora}, "style", "", "own", [], [], [], [], None, "", "", False)
    with pytest.raises(UserError, match="2 answers are missing: The pictures are ...; Who can be recognised"):
        form._written({"lora": lora}, "style", "", None, [], [], [], [], None, "", "", False)
    said = form._written({"lora": lora}, "style", "Ink.", "own", [], [2], [], [], "none", "CC BY 4.0", "", False)
    assert "Written into the file." in said[form._came] and "2 my own, 1 under a licence" in said[form._told]
    assert contracts.of(Path(lora)).rights == {"own": 2, "licensed": 1}
    again = form.shown(lora)
    assert (again[form._people], again[form._licence], again[form._scope]) == ("none", "CC BY 4.0", "Ink.")
    unknown = form._written({"lora": lora}, "style", "", "unknown", [], [], [], [], "unknown", "", "", False)
    assert "The rights of 3 pictures are not known" in unknown[form._came]


def test_the_programs_that_read_its_family_are_offered_and_drawings_of_the_studio_alone_go_with_it(page):
    _, give, lora = page
    shown = give.shown(lora)
    assert shown[give.panel]["visible"] and all(shown[one]["visible"] for one in give._buttons.values())
    picked = type("Event", (), {"picked": ["2026-11-28/a.png", "../../../etc/passwd", "/abs/olute.png"]})
    kept = give._picked(picked, {"lora": lora})[give.page]["picked"]
    assert kept[0] == "2026-11-28/a.png" and not any(".." in name or name.startswith("/") for name in kept)
    assert give.shown("")[give.panel]["visible"] is False


def test_publishing_what_nobody_answers_for_is_held_back_before_anything_is_made(page, studio):  # noqa: F811
    _, give, lora = page
    view = give._publish
    said = [list(one.values())[0] for one in view._showing({"lora": lora, "picked": []}, "ada/fox", False)]
    assert "Nobody has said yet whose" in str(said) and not studio.given.exists()


def test_long_work_is_told_and_its_failure_is_a_sentence():
    def work(say):
        say("one")
        raise UserError("No.", "Do it again.")

    works = long_work.Works()
    assert list(works.told("a", work, lambda error: error.what))[-1] == "No."
    assert list(works.told("a", lambda say: "done"))[-1] == "done"
    assert 'aria-valuenow="42"' in long_work.bar("Uploading, 42 %") and "unknown" in long_work.bar("Packing")


def test_long_work_is_given_up_as_soon_as_it_tells_of_itself_and_is_not_begun_twice():
    works, told, left = long_work.Works(), [], []

    def work(say):
        try:
            while True:
                say("Drawing")
                time.sleep(0.01)
        finally:
            left.append("tidied")

    for words in works.told("a", work):
        told.append(words)
        if len(told) == 1:
            assert works.goes_on("a") and "done already" in next(works.told("a", work))
            works.cancel("b")
            works.cancel("a")
    assert "Drawing" in told[0] or "Beginning" in told[0]
    assert long_work.CANCELLED in told[-1] and left == ["tidied"] and not works.goes_on("a")


def test_which_loras_learnt_from_a_picture_is_answered_by_name_or_that_none_did(studio, tmp_path):  # noqa: F811
    told = learnt_view.answer(studio, tmp_path / "in" / "a.png")
    assert "1 LoRA learnt from this picture" in told and "fox, by its run" in told
    Image.new("RGB", (80, 80), "red").save(tmp_path / "other.png")
    assert "None of your LoRAs" in learnt_view.answer(studio, tmp_path / "other.png")
    (tmp_path / "no.png").write_bytes(b"no picture")
    assert 'role="alert"' in learnt_view.answer(studio, tmp_path / "no.png")
