"""The contract card as a form, and what can be given away, as the page calls them."""

import threading
import time
from pathlib import Path

import gradio as gr
import pytest
from PIL import Image

from lora_gui.errors import UserError
from lora_gui.studio.giving import publish, share
from lora_gui.studio.library import contracts
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.ui.context import Context
from lora_gui.ui.library import give_view, learnt_view, publish_view
from lora_gui.ui.library.contract_form import WHY, ContractForm
from lora_gui.ui.widgets import long_work
from tests.studio.library.test_contracts import lora_file, studio  # noqa: F401


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
    kept = give._picked(picked)[give._picks]
    assert kept[0] == "2026-11-28/a.png" and not any(".." in name or name.startswith("/") for name in kept)
    assert give.shown("")[give.panel]["visible"] is False


def test_publishing_what_nobody_answers_for_is_held_back_before_anything_is_made(page, studio):  # noqa: F811
    _, give, lora = page
    view = give._publish
    view._showing({"lora": lora}, [], "ada/fox", False)
    assert "Nobody has said yet whose" in str(ended(view, lora)) and not studio.given.exists()
    assert view.shown(lora)[view._send]["visible"] is False


def ended(view, lora):
    """What the page of a LoRA shows once nothing is worked on any more."""
    until = time.monotonic() + 120
    while not view._told.is_done(lora):
        assert time.monotonic() < until
        time.sleep(0.02)
    return view._look({"lora": lora}, [])


def test_what_comes_of_one_lora_is_seen_on_its_own_page_alone(page, studio):  # noqa: F811
    _, give, fox = page
    owl, goes_on = str(lora_file(studio.loras / "owl.safetensors")), threading.Event()

    def work(view, lora, chosen, say):
        goes_on.wait(30)
        return f"{lora.name} is done."

    told = give._told
    begun = give._worked(work, {"lora": fox}, [])
    assert "progressbar" in begun[told.place] and begun[told.cancel]["visible"]
    of_owl = give.shown(owl)  # another LoRA is opened while it goes on
    assert of_owl[told.place] == "" and of_owl[told.cancel]["visible"] is False
    assert give.shown(fox)[told.cancel]["visible"], "back again, it can be given up"
    with pytest.raises(UserError, match="done already"):
        give._worked(work, {"lora": fox}, [])
    goes_on.set()
    assert ended(give, fox)[told.place] == "fox is done." and give._look({"lora": fox}, told.mark(fox)) == {}
    assert give._look({"lora": owl}, of_owl[told.page]) == {} and give.shown(owl)[told.place] == ""
    give._worked(lambda *_: "owl is done.", {"lora": owl}, [])
    assert ended(give, owl)[told.place] == "owl is done." and ended(give, fox)[told.place] == "fox is done."
    lora_file(Path(fox), changed="1")
    assert give.shown(fox)[told.place] == "", "that was of the file before"


def test_only_what_the_page_of_a_lora_shows_is_published_from_it(page, studio, monkeypatch):  # noqa: F811
    _, give, fox = page
    view, told = give._publish, give._publish._told
    owl, sent = str(lora_file(studio.loras / "owl.safetensors")), []

    def shown(folder, lora, repo, is_private=True):
        return publish.Shown(folder, repo, is_private, {}, {}, "")

    def shared(_, drawer, lora, *rest, **more):
        return share.Shared(Path(lora.name), "", None, {}, (), ())

    monkeypatch.setattr(publish_view.contracts, "require_publishable", lambda path: None)
    monkeypatch.setattr(share, "share", shared)
    monkeypatch.setattr(publish, "shown", shown)
    monkeypatch.setattr(publish, "again", lambda folder, repo, private, sums: shown(folder, "", repo, private))
    monkeypatch.setattr(publish, "publish", lambda _, what, say: sent.append(str(what.folder)) or "there")
    view._showing({"lora": fox}, [], "ada/fox", False)
    of_fox, of_owl = ended(view, fox), view.shown(owl)
    assert "uploaded to ada/fox" in of_fox[told.place] and of_fox[view._send]["visible"]
    assert of_owl[told.place] == "" and of_owl[view._send]["visible"] is False
    for lora, mark in ((owl, of_fox[told.page]), (owl, of_owl[told.page]), (fox, of_owl[told.page]), (fox, [])):
        with pytest.raises(UserError, match="not what would be uploaded now"):
            view._sent({"lora": lora}, mark)
    view._sent({"lora": fox}, of_fox[told.page])
    after = ended(view, fox)
    assert sent == ["fox"] and "It is on the Hub" in after[told.place] and after[view._send]["visible"] is False


def test_an_upload_without_a_token_asks_for_one_and_can_be_sent_again(page, monkeypatch):
    _, give, fox = page
    view = give._publish
    what = publish.Shown(Path("fox"), "ada/fox", True, {}, {}, "")

    def refused(*_):
        raise UserError("You are not signed in.", "Sign in.", publish_view.SIGN_IN)

    monkeypatch.setattr(publish, "again", lambda *_: what)
    monkeypatch.setattr(publish, "publish", refused)
    view._seen[fox] = what
    view._told.begin(fox, lambda say: "shown")
    view._sent({"lora": fox}, ended(view, fox)[view._told.page])
    asked = ended(view, fox)
    assert asked[view._signing]["visible"] and asked[view._send]["visible"]
    monkeypatch.setattr(publish_view.downloads, "sign_in", lambda *_: "ada")
    assert "Signed in as ada" in view._signed_in("key")[view._told.place]
    assert view.shown(fox)[view._signing]["visible"] is False and view.shown(fox)[view._send]["visible"]


def test_long_work_is_told_and_its_failure_is_a_sentence():
    def work(say):
        say("one")
        raise UserError("No.", "Do it again.")

    works = long_work.Works()
    assert "No." in list(works.told("a", work))[-1]
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
            assert "done already" in next(works.told("a", work))
            works.cancel("b")
            works.cancel("a")
    assert "Drawing" in told[0] or "Beginning" in told[0]
    assert long_work.CANCELLED in told[-1] and left == ["tidied"]
    thread = works.begin("a", work, told.append)
    works.cancel("a")
    thread.join(30)
    assert "Cancelling" in told[-2] and long_work.CANCELLED in told[-1] and not works.hearers


def test_which_loras_learnt_from_a_picture_is_answered_by_name_or_that_none_did(studio, tmp_path):  # noqa: F811
    told = learnt_view.answer(studio, tmp_path / "in" / "a.png")
    assert "1 LoRA learnt from this picture" in told and "fox, by its run" in told
    Image.new("RGB", (80, 80), "red").save(tmp_path / "other.png")
    assert "None of your LoRAs" in learnt_view.answer(studio, tmp_path / "other.png")
    (tmp_path / "no.png").write_bytes(b"no picture")
    assert 'role="alert"' in learnt_view.answer(studio, tmp_path / "no.png")
