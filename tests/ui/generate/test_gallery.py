"""What the page is told of the drawings, beside those that it lists."""

import html
import json
import re
from types import SimpleNamespace

import gradio as gr
import pytest

from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.ui.context import Context
from lora_gui.ui.generate import under_way
from lora_gui.ui.generate.gallery import Gallery
from lora_gui.ui.generate.wall import A_PAGE, NONE_FIT, STAGE
from tests import making


@pytest.fixture
def gallery(tmp_path):
    studio = Studio(tmp_path / "studio")
    for number in range(A_PAGE + 6):
        making.drawing(studio, f"one-{number:02}")
    with gr.Blocks():
        return Gallery(Context(studio, Drawer(studio)), gr.HTML())


def beside(gallery, changes):
    """What wall.js is told beside the page, by names, and which drawing is gone."""
    found = re.search('data-beside="([^"]*)"', changes[gallery._gallery])
    if not found:
        return None
    told = json.loads(html.unescape(found[1]))
    return [(one["name"].partition("/")[2], one["star"]) for one in told["there"]], told["gone"]


def acted(gallery, act, name, words=""):
    return gallery._acted(SimpleNamespace(act=act, name=name), {"number": 2}, words, False)


def test_the_newest_is_told_of_whatever_is_looked_for_but_not_where_another_page_or_search_is_asked_for(gallery):
    newest = f"one-{A_PAGE + 5:02}.png"
    assert beside(gallery, gallery._look({}, "owl", False)) == ([(newest, "")], "")
    assert beside(gallery, gallery._sought({}, "fox", False)) is None
    turned = acted(gallery, "turn", "2")
    assert beside(gallery, turned) is None and turned[gallery._page]["number"] == 2 and turned[gallery._said] == ""


def test_the_first_page_is_listed_once_an_order_has_ended_and_not_before(gallery, monkeypatch):
    page = gallery._look({}, "", False)[gallery._page] | {"number": 2}
    order = SimpleNamespace(id="an order")
    monkeypatch.setattr(gallery, "_own", lambda orders: orders)
    monkeypatch.setattr(gallery._context, "drawer", ended := Ended())
    ended.orders = [order]
    looked = gallery._look(page, "", False)
    assert looked[gallery._page]["number"] == 1
    assert gallery._look(looked[gallery._page] | {"number": 2}, "", False) == {}
    ended.orders = []  # the next order is given
    assert gallery._look(looked[gallery._page] | {"number": 2}, "", False)[gallery._page]["number"] == 2


class Ended:
    """A drawer with nothing but orders that have ended."""

    orders: list = []

    def waiting(self):
        return []

    def ended(self):
        return self.orders

    def status(self, id):
        return SimpleNamespace(what="", remedy="", instead={}, notes=())


def test_what_was_pressed_is_told_of_where_it_is_not_listed_and_as_gone_where_it_is_no_more(gallery):
    name, newest = "2026-01-01/one-03.png", (f"one-{A_PAGE + 5:02}.png", "")
    starred = acted(gallery, "star", name, "owl")
    assert NONE_FIT in starred[gallery._gallery] and starred[gallery._said] == ""
    assert beside(gallery, starred) == ([newest, ("one-03.png", "1")], "")
    assert beside(gallery, acted(gallery, "delete", name)) == ([newest], name)
    again = acted(gallery, "star", name)
    assert "not there any more" in again[gallery._said] and beside(gallery, again) == ([newest], name)


def test_a_prompt_that_is_written_from_right_to_left_is_cut_at_its_end():
    order = SimpleNamespace(id="an order", prompt="\u05e9\u05dc\u05d5\u05dd", of=1)
    for shown in (STAGE, under_way.behind([order, order])):
        assert 'class="words" dir="auto"' in shown
