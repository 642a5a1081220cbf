"""A download begun, paused and gone on with on a card, of a small Hub; what was downloaded is deleted if removed."""

import hashlib
import sys

import gradio as gr
import pytest

from lora_gui.errors import UserError
from lora_gui.studio.finding import overview
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import downloads, process
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.studio.tasks.launching import until
from lora_gui.studio.things import bases
from lora_gui.ui.bases import bases_tab
from lora_gui.ui.context import Context
from tests.net.hub import SmallHub

KNOWN = bases.known_bases()["sd15"]


@pytest.fixture
def view(tmp_path, monkeypatch):
    """The tab over an empty studio, and a Hub that has the starter's files as Stable Diffusion 1.5; of the largest one
    there are minutes to come once it is half here."""
    held = {path.relative_to(bases.SHIPPED).as_posix(): path.read_bytes()
            for path in bases.SHIPPED.rglob("*") if path.is_file()}  # fmt: skip
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-m", "lora_gui.worker"))
    studio = Studio(tmp_path / "a studio")
    with SmallHub() as hub, gr.Blocks():
        for name, value in (hub.environment() | {"HF_HOME": str(tmp_path / "hf")}).items():
            monkeypatch.setenv(name, value)
        hub.add(KNOWN.repo, held, KNOWN.revision)
        largest = max(held.values(), key=len)
        hub.fault(f"GET /cdn/{hashlib.sha256(largest).hexdigest()}", drip_after=len(largest) // 2)
        context = Context(studio, Drawer(studio))
        with gr.Tabs() as context.tabs, gr.Tab("Bases"):
            yield bases_tab._Bases(context)


def card(view):
    found = overview.everything(view._studio, {})
    return next(one for one in found.cards if one.known.key == "sd15")


def test_a_base_is_downloaded_on_its_card_paused_gone_on_with_and_removed(view):
    view._acts["download"]("sd15")
    page = view._listed()
    assert card(view).state == overview.FETCHING and 'data-act="pause"' in page[view._cards] and view._is_going_on()
    assert until(lambda: card(view).fetch.done > card(view).fetch.of / 2, 60)
    view._acts["pause"]("sd15")
    assert until(lambda: not card(view).fetch.goes_on, 60)
    held = view._listed()[view._cards]
    assert ">Go on</button>" in held and "Not whole yet" in held and "Being downloaded" not in held
    view._acts["download"]("sd15")
    assert until(lambda: not downloads.begun(view._studio), 120)
    answer = view._look(page[view._page])  # a page that shows an older state hears of it
    assert "it can be downloaded again" in answer[view._own] + answer[view._cards]
    view._acts["remove"]("sd15")
    assert not (view._studio.bases / "sd15").exists() and card(view).state == overview.AWAY
    with pytest.raises(UserError, match="There is no base"):
        bases.find(view._studio, "nothing")
