"""Captions are suggested by a captioner that is here, and a form says which there are and which can be had."""

import time
from types import SimpleNamespace

import pytest
import torch

from lora_gui.studio.capacity import gpu
from lora_gui.studio.tasks import process
from tests import forkserver, tiny_captioners


@pytest.fixture
def view(page, monkeypatch):
    monkeypatch.setattr(process, "COMMAND", forkserver.command("-m", "lora_gui.worker"))
    monkeypatch.setenv("HF_HUB_CACHE", str(page.home / "hub"))
    return page.setup._pictures.described


def pressed(view, shown, **event):
    event = {"act": "begin", "one": "", "also": False, "slow": False} | event
    return view._pressed(SimpleNamespace(**event), shown)


def looked(view, shown):
    """The changes of the look after which nothing goes on."""
    until = time.monotonic() + 120
    while True:
        assert time.monotonic() < until
        changes = view._look(shown)
        shown = changes.get(view._page, shown)
        if not view._work.now.goes_on:
            return view._look({})
        time.sleep(0.05)


def test_a_captioner_in_the_studio_is_offered_and_asked_and_its_words_are_listed(page, view, monkeypatch):
    monkeypatch.setattr(gpu, "memory", lambda: 0.0)
    page.examples()
    torch.manual_seed(0)
    tiny_captioners.blip(page.studio.captioners / "mine")
    form = pressed(view, {}, act="open")[view._form]
    assert f'value="here:{page.studio.captioners / "mine"}"' in form and "Florence-2, about 0.5 GB" in form
    assert "BSD-3-Clause" in form and "With the processor" not in form  # there is nothing else
    captions = [one.caption for one in page.pictures()]
    begun = pressed(view, {}, source=f"here:{page.studio.captioners / 'mine'}", also=True)
    assert 'role="progressbar"' in begun[view._told] and 'data-act="cancel"' in begun[view._told]
    done = looked(view, begun[view._page])
    assert "would change" in done[view._many.list] and "<img" in done[view._many.list]
    assert [one.caption for one in page.pictures()] == captions
    assert view._look(done[view._page]) == {}


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({"source": "names:"}, "Every picture has a caption"),
        ({"source": "here:/etc"}, "not there any more"),
        ({"source": "folder:"}, "No folder is named"),
        ({"source": "folder:", "one": "/nowhere/at/all"}, "There is no folder"),
        ({"source": "folder:", "one": "~"}, "no captioner that is known here"),
    ],
)
def test_what_cannot_be_is_a_sentence_where_it_was_asked_for(page, view, event, words):
    page.examples()
    assert words in pressed(view, {}, **event)[view._told]


def test_without_pictures_nothing_is_begun(page, view):
    assert "not in the window any more" in pressed(view, {}, source="names:")[view._told]
    assert not view._work.now.goes_on
