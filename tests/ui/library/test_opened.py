"""One LoRA that was opened: its fields, its buttons, and where they lead."""

import re
from functools import partial
from pathlib import Path

import gradio as gr
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lora_gui.errors import UserError
from lora_gui.studio.library import bin, changes, notes
from lora_gui.studio.things import bases
from lora_gui.ui.draft import Entry
from lora_gui.ui.library import onward
from tests import making


@pytest.fixture
def fox(library):
    """The page of a LoRA that says how it was trained."""
    says = {
        "lora_studio.strength": "0.8",
        "ss_network_dim": "4",
        "ss_network_alpha": "2.0",
        "ss_learning_rate": "0.0003",
        "ss_max_train_steps": "300",
        "ss_resolution": "(512, 512)",
        "ss_optimizer": "bitsandbytes.optim.AdamW8bit(x=1)",
        "ss_lr_scheduler": "piecewise",
        "lora_studio.preset": "style",
    }
    path = making.lora(library.studio, "fox", **says)
    library.page = library.opened.show(path)[library.opened.page]
    return library


def a_base(monkeypatch, *families):
    found = [bases.Base(key=f"a-{family}", title=family, family=family, path="/x") for family in families]
    monkeypatch.setattr(bases, "list_bases", lambda studio: found)


def test_it_shows_what_the_file_says_and_what_is_noted(fox):
    shown = fox.opened.show(fox.studio.loras / "fox.safetensors")
    view = fox.opened
    assert (shown[view._trigger], shown[view._strength], shown[view._notes]) == ("zxy", 0.8, "")
    assert shown[view._panel]["visible"] and not shown[view._listed]["visible"] and not shown[view._run]["visible"]
    assert "rank 4, alpha 2" in shown[view._head] and shown[view._versions] == ""


def test_saving_renaming_and_noting_change_what_they_say(fox):
    view = fox.opened
    shown = view._saved(fox.page, "A fox", "inkfox", 0.7, "Ink.")
    assert "Saved in the file" in shown[view._written] and shown[view._title] == "A fox"
    renamed = view._renamed(fox.page, "Red Fox")
    assert "red-fox now" in renamed[view._named] and renamed[view._name] == "red-fox"
    page = renamed[view.page]
    view._noted("tags", notes.tags, page, "a, b")
    view._noted("text", str, page, "mine")
    noted = notes.of(fox.studio, "red-fox")
    assert (noted.text, noted.tags) == ("mine", ("a", "b"))
    view._noted("text", str, fox.page, "by an older page")
    assert "red-fox goes to the bin" in view._asked(fox.page)[view._frees], "an older page still means it"
    assert notes.of(fox.studio, "red-fox").text == "by an older page" and not notes.place(fox.studio, "fox").exists()
    assert view._noted("text", str, {}, "of none") == {}
    bin.delete(fox.studio, fox.studio.loras / "red-fox.safetensors")
    for act in (view._asked, partial(view._noted, "text", str, typed="of a LoRA that has gone")):
        with pytest.raises(UserError, match="red-fox is not in your studio any more."):
            act(page=page)
    bin.restore(fox.studio, bin.find(fox.studio, "red-fox"))
    with pytest.raises(UserError):
        view._renamed(page, "a/b")
    with pytest.raises(UserError, match="The best strength is between 0 and 2"):
        view._saved(page, "A fox", "inkfox", 5, "")


def test_saving_and_renaming_leave_what_is_typed_elsewhere_on_the_page(fox):
    view = fox.opened
    sections = {output for section in view._sections for output in section.outputs}
    file = {view._title, view._trigger, view._strength, view._description}
    saved = view._saved(fox.page, "A fox", "inkfox", 0.7, "Ink.")
    assert saved.keys() == file | {view._head, view._written}
    renamed = view._renamed(fox.page, "owl")
    pages = {section.page for section in view._sections}
    assert not renamed.keys() & file and renamed.keys() & sections == pages
    assert not renamed.keys() & {view._notes, view._tags}
    owl = str(fox.studio.loras / "owl.safetensors")
    assert [renamed[page] for page in pages] == [{"lora": owl}] * 2 and renamed[view.page] == {"path": owl}
    assert 'data-name="owl.safetensors"' in renamed[view._head] and "owl goes to the bin" in renamed[view._frees]


def test_each_drawing_with_it_says_what_it_shows(fox):
    making.drawing(fox.studio, "a", "fox")
    long = making.drawing(fox.studio, "b", "fox")
    told = PngInfo()
    told.add_text("parameters", f'a "red" {"very " * 60}fox <lora:fox:1>\nSteps: 2, Seed: 1')
    Image.new("RGB", (16, 16)).save(long, pnginfo=told)
    strip = fox.opened.show(Path(fox.page["path"]))[fox.opened._drawings]
    assert re.search(r'<div class="strip" role="group" tabindex="0" aria-label="Drawings with it">', strip)
    alts = re.findall(r'alt="([^"]*)"', strip)
    assert alts[1] == "a fox" and alts[0].startswith("a &quot;red&quot; very") and alts[0].endswith("\u2026")
    assert len(alts[0]) < 150


def test_of_another_lora_that_was_open_before_nothing_is_noted(fox):
    """While one is opened its notes and its tags come one after the other; each is told with nothing but itself."""
    view = fox.opened
    with fox.window:
        view.connect(gr.HTML())
    told = {field: one.inputs for one in fox.window.fns.values() for field in (view._notes, view._tags)
            if (field._id, "change") in one.targets}  # fmt: skip
    assert told == {view._notes: [view.page, view._notes], view._tags: [view.page, view._tags]}


def test_drawing_with_it_brings_its_best_strength_and_a_base_that_it_fits(fox, monkeypatch):
    a_base(monkeypatch, "sdxl", "sd1")
    assert fox.opened._drawn_with(fox.page)[fox.context.tabs]["selected"] == "generate"
    draft = fox.context.drafts.draw.value
    assert draft.stack == (Entry(True, fox.page["path"], 0.8),) and (draft.base, draft.prompt) == ("a-sd1", "zxy ")
    a_base(monkeypatch, "sdxl")
    with pytest.raises(UserError, match="no base of that family is here"):
        fox.opened._drawn_with(fox.page)


def test_training_further_begins_with_its_weights_rank_and_alpha(fox, monkeypatch):
    a_base(monkeypatch, "sd1")
    fox.opened._trained_further(fox.page)
    draft = fox.context.drafts.train.value
    assert (draft.begin_from, draft.trigger, draft.base) == (fox.page["path"], "zxy", "a-sd1")
    assert (draft.hand["rank"], draft.hand["alpha"], "seed" in draft.hand) == (4, 2.0, False)


def test_its_settings_are_used_again_and_what_is_none_of_ours_is_named(fox, monkeypatch):
    a_base(monkeypatch, "sd1")
    fox.opened._used_again(fox.page)
    draft = fox.context.drafts.train.value
    assert draft.begin_from == "" and draft.preset == "style"
    said = {"rank": 4, "alpha": 2.0, "learning_rate": 0.0003, "steps": 300, "resolution": 512}
    assert draft.hand == said | {"optimizer": "adamw8bit"}
    assert draft.note == "What its file says of Schedule is not known here and was left out."


def test_a_lora_made_here_brings_all_of_its_runs_settings(fox):
    made = making.run(fox.studio, "fox", Path(fox.page["path"]), steps=77)
    made.summary()
    draft = onward.again(fox.studio, fox.opened._card(fox.page))
    assert draft.hand["steps"] == 77 and draft.note == "The pictures of fox are not in your studio any more."
    assert fox.opened.show(Path(fox.page["path"]))[fox.opened._run]["visible"]


def test_deleting_is_asked_first_and_says_what_it_frees(fox):
    view = fox.opened
    assert "Emptying the bin frees" in view._asked(fox.page)[view._frees] and Path(fox.page["path"]).exists()
    gone = view._deleted(fox.page, fox.view.notice)
    assert not Path(fox.page["path"]).exists() and "Undo" in gone[fox.view.notice] and gone[view.page] == {}


def test_a_copy_to_download_is_the_file(fox, monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    link = fox.opened._downloaded(fox.page)[fox.opened._link]
    (copy,) = (tmp_path / "uploads").rglob("*.safetensors")
    assert copy.read_bytes() == Path(fox.page["path"]).read_bytes() and 'download="fox.safetensors"' in link


def test_a_stack_follows_a_lora_that_was_renamed(fox, monkeypatch):
    from lora_gui.ui.generate import stack

    a_base(monkeypatch, "sd1")
    fox.opened._drawn_with(fox.page)
    new = changes.rename(fox.studio, fox.opened._card(fox.page), "owl")
    assert stack.found_again(fox.studio, fox.context.drafts.draw.value).stack == (Entry(True, str(new), 0.8),)
