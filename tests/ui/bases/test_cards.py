"""The tab of the bases: cards of all that is known, rows of the user's own, what it finds, and what its buttons do."""

from dataclasses import replace

import gradio as gr
import pytest

from lora_gui.errors import UserError
from lora_gui.studio.capacity import computer, gpu, plans, verdicts
from lora_gui.studio.capacity.verdicts import Verdict, Verdicts
from lora_gui.studio.finding import overview, places
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.studio.things import bases
from lora_gui.ui.bases import bases_tab, cards
from lora_gui.ui.context import Context
from tests.studio.finding import layouts
from tests.studio.things import base_folders as like
from tests.studio.things.base_folders import make, sparse

EVIL = "<img src=x onerror=alert(1)> ${x}"


@pytest.fixture
def studio(tmp_path, monkeypatch):
    monkeypatch.setenv(places.DRIVES, str(tmp_path / "drive"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return Studio(tmp_path / "a studio")


@pytest.fixture
def view(studio):
    """The tab, laid out; `view.find()` looks and gives the last answer."""
    with gr.Blocks() as window:
        context = Context(studio, Drawer(studio))
        with gr.Tabs() as context.tabs, gr.Tab("Bases") as tab:
            made = bases_tab._Bases(context)
        made.connect(tab)
    made.events = window.fns
    made.find = lambda: list(made._found())[-1]
    return made


def test_every_known_base_is_a_card_with_its_licence_size_and_state(studio):
    make(studio.bases / "stable-diffusion-xl-base-1.0", "sdxl")
    sparse(studio.bases / "mine.safetensors", like.SDXL)
    found = overview.everything(studio, {"sd15": Verdict(4.2, True, False, "full")})
    states = {card.known.key: card.state for card in found.cards}
    assert states["starter"] == overview.SHIPPED and states["sdxl"] == overview.HERE
    assert states["flux1-dev"] == overview.PERMISSION and states["klein-4b"] == overview.AWAY
    assert [one.base.key for one in found.own] == ["mine"]
    html = cards.known(found, 12.0, True)
    assert all(card.known.title in html and card.licence and card.known.good_at for card in found.cards)
    assert "Trains in 4.2 of 12 GB" in html and "is being counted" in html and "Made of it and here: mine." in html
    assert html.count("https://huggingface.co/") == len(found.cards) - 1  # the starter comes with the app
    assert "is being counted" not in cards.known(found, 0.0, False)


def test_a_known_base_in_the_cache_of_the_hub_is_here_with_it(view, studio, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    place = tmp_path / "hub" / "models--stabilityai--stable-diffusion-xl-base-1.0" / "snapshots" / layouts.HASH
    make(place, "sdxl")
    answer = view.find()
    assert "Here, with Hugging Face" in answer[view._cards]
    card = next(one for one in overview.everything(studio, {}).cards if one.known.key == "sdxl")
    assert card.state == overview.ELSEWHERE and card.held.base.path == str(place)


def test_what_does_not_fit_is_said_and_greyed(studio):
    told = {"sd35-large": Verdict(40.0, False, True, ""), "flux1-schnell": Verdict(draws="fewer bits")}
    html = cards.known(overview.everything(studio, told), 8.0, False)
    assert "Too large to train here. Too large to draw with." in html and html.count("base unfit") == 1
    assert "Draws only. Draws in fewer bits." in html


def test_a_look_by_the_tab_lists_what_it_found_and_its_buttons_lead_on(view, studio, tmp_path):
    comfy = layouts.marked(tmp_path / "drive" / "ComfyUI", "comfy/sd.py") / "models"
    path = sparse(comfy / "checkpoints" / f"{EVIL[:4]} & co.safetensors", like.SDXL)
    sparse(comfy / "loras" / "a.safetensors", like.LORA)
    sparse(comfy / "unet" / "flux.safetensors", like.FLUX)
    answer = view.find()
    assert "1 base of other programs" in answer[view._notice] and "1 x LoRA" in answer[view._notice]
    assert "&lt;img &amp; co" in answer[view._own] and "<img " not in answer[view._own]
    assert "its text encoder CLIP-L" in answer[view._own]
    key = path.stem
    assert view._acts["train"](key) and view._context.drafts.train.value.base == key
    assert view._acts["draw"](key) and view._context.drafts.draw.value.base == key
    view._acts["remove"](key)
    assert path.is_file() and key not in {base.key for base in bases.list_bases(studio)}
    assert next(view._found_first()) == gr.skip()  # it looks by itself only once


def test_a_page_is_given_the_lists_anew_only_where_something_changed(view, studio):
    page = view._listed()[view._page]
    assert view._look({}) == {} and view._look(page) == {}
    make(studio.bases / "new")
    assert "new" in view._look(page)[view._own]


def test_verdicts_are_planned_once_for_a_card_and_remembered(studio, monkeypatch):
    asked = []
    monkeypatch.setattr(gpu, "memory", lambda: 12.0)
    monkeypatch.setattr(gpu, "card", lambda: gpu.Card(12.0, (8, 6)))
    plan = {"peak_gib": 9.0, "fits": True, "changed": {"precision": "nf4"}}
    monkeypatch.setattr(plans, "ask", lambda studio, questions: asked.append(questions) or [plan] * len(questions))
    told = Verdicts(studio)
    told.count()
    told._thread.join()
    assert told.known()["sdxl"] == Verdict(9.0, True, True, "full")
    assert told.known()["flux1-schnell"] == Verdict(draws="fewer bits") and verdicts.draws("sd15", 6) == "full"
    Verdicts(studio).count()
    assert len(asked) == 1 and Verdicts(studio).known() == told.known()
    monkeypatch.setattr(gpu, "card", lambda: gpu.Card(8.0, (8, 6)))
    assert told.known() == {}


def test_one_base_is_suggested_by_the_card_and_the_disk(studio, monkeypatch):
    free = [500e9]
    monkeypatch.setattr(computer.shutil, "disk_usage", lambda path: type("Disk", (), {"free": free[0]}))
    for gib, key in ((0.0, None), (4.0, "sd15"), (8.0, "sdxl"), (24.0, "klein-4b")):
        monkeypatch.setattr(gpu, "memory", lambda gib=gib: gib)
        base = computer.suggestion(studio).base
        assert (base and base.key) == key, gib
    free[0] = 5e9
    assert computer.suggestion(studio).base.key == "sd15"
    free[0] = 0.2e9
    assert "Make 3 GB of room" in computer.suggestion(studio).why
    free[0] = 500e9
    make(studio.bases / "klein", "klein-4b")
    assert "is here" in computer.suggestion(studio).why


def test_this_computer_is_told_in_three_lines(studio, monkeypatch):
    monkeypatch.setattr(gpu, "card", lambda: gpu.Card(12.0, (8, 6), "RTX 3060", "570.86"))
    first, *rest = computer.lines(studio)
    assert first == "RTX 3060 with 12 GB, driver 570.86: it trains and draws." and len(rest) == 2
    monkeypatch.setattr(gpu, "card", gpu.Card)
    assert "No NVIDIA graphics card" in computer.lines(studio)[0]


def test_a_base_is_added_by_its_path_and_what_is_none_is_refused_in_a_sentence(view, studio, tmp_path):
    path = sparse(tmp_path / "elsewhere" / "mine.safetensors", like.SDXL)
    answer = view._added(f' "{path}" ')
    assert "mine.safetensors" in answer[view._notice] and answer[view._path] == ""
    assert f", added by hand: {path}" in answer[view._own] and "No base of another" in view.find()[view._notice]
    assert "mine" in {base.key for base in bases.list_bases(studio)}
    lora = sparse(tmp_path / "a.safetensors", like.LORA)
    for wrong, what in {
        "": "Write where the base lies", "mine.safetensors": "no whole path", str(lora): "a.safetensors",
        str(tmp_path / "nowhere"): "There is nothing at", "~no body/x": "There is nothing at|no whole path",
    }.items():  # fmt: skip
        with pytest.raises(UserError, match=what):
            view._added(wrong)
    adds = {(view._add._id, "click"), (view._path._id, "submit")}
    added = {id for id, one in view.events.items() if adds & {*one.targets}}
    looked = {one.trigger_after for one in view.events.values() if "studio.after" in str(one.js)}
    assert len(added) == 2 and added <= looked, "the other tabs offer it at once"


def test_own_bases_fold_after_the_eighth_and_one_that_is_gone_says_so_until_it_is_forgotten(view, studio, tmp_path):
    for number in range(20):
        make(studio.bases / f"mine-{number:02}")
    shown = cards.own(overview.everything(studio, {}))
    in_sight, _, folded = shown.partition("<details")
    assert in_sight.count("<li") == 8 and folded.count("<li") == 12 and "and 12 more" in folded
    path = sparse(tmp_path / "elsewhere" / "lost.safetensors", like.SDXL)
    view._added(str(path))
    path.unlink()
    told = view._listed()[view._own]
    assert f"Not there any more: {path}" in told and "lost" not in {base.key for base in bases.list_bases(studio)}
    drafts = view._context.drafts
    drafts.train.change(lambda draft: replace(draft, base="lost"))
    drafts.draw.change(lambda draft: replace(draft, base="mine-03"))
    view._acts["forget"](str(path))
    assert "Not there any more" not in view._listed()[view._own]
    assert (drafts.train.value.base, drafts.draw.value.base) == ("", "mine-03"), "nobody is told of it on Train"
