"""What is asked before a run: every answer depends on the draft alone."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import gradio as gr
import pytest
from PIL import Image

from lora_gui.errors import UserError
from lora_gui.protocol.lock import Lock
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import queue, runs
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.studio.things import bases, pictures
from lora_gui.ui.context import Context
from lora_gui.ui.train.run_view import RunView
from lora_gui.ui.train.train_tab import _Setup


class Page:
    """The form and one page that shows it."""

    def __init__(self, studio):
        with gr.Blocks():
            self.context = Context(studio, Drawer(studio))
            self.setup = _Setup(self.context)
            self.view = RunView(self.context, self.setup.panels)
        self.shown = {}
        self.takes(self.setup._look(self.shown))

    def takes(self, changes):
        self.shown = changes[self.setup._form.shown]
        self.changes, self.told = changes, json.loads(changes[self.setup._form._kept])
        self.values = self.told["values"]

    def types(self, **fields):
        self.takes(self.setup._edited(SimpleNamespace(changes=fields), self.shown))

    def starts(self, **unsent):
        self.takes(self.setup._started(self.view, self.shown | {"changes": unsent}))
        return self.values["notice"]


def refuse(*asked):
    raise UserError("The disk is full.", "Make some space.")


@pytest.fixture
def page(tmp_path):
    studio = Studio(tmp_path / "studio")
    if not bases.list_bases(studio):
        pytest.skip("This copy of the app has no starter, the base to train on.")
    studio.presets.mkdir(parents=True)
    for name, steps in {"style": 77, "character": 111}.items():
        (studio.presets / f"{name}.toml").write_text(f'title = "{name}"\ndescription = ""\n[all]\nsteps = {steps}\n')
    Image.new("RGB", (96, 96), "orange").save(tmp_path / "one.png")
    made = Page(studio)
    found, _ = pictures.import_pictures(studio, [tmp_path / "one.png"])
    made.context.drafts.train.change(lambda draft: replace(draft, folder=found.folder.name))
    made.takes(made.setup._look(made.shown))
    return made


def test_whatever_was_pressed_the_plan_says_the_steps_that_the_field_holds(page):
    for preset, steps in (("character", 111), ("style", 77), ("character", 111), ("style", 77)):
        page.types(preset=preset)
        assert page.values["steps"] == steps and f">{steps} steps," in page.values["plan"]
    page.types(steps=40)
    page.types(preset="character")
    assert page.values["steps"] == 40 and ">40 steps," in page.values["plan"]
    page.types(steps=None)
    assert page.values["steps"] == 111


def test_a_wrong_setting_is_named_and_stays_until_it_is_right_or_the_preset_comes_back(page):
    page.types(rank=9999)
    page.types(trigger="zxy_style")
    assert page.values["rank"] == 9999 and "rank" in page.told["wrong"]
    assert "Rank can be at most 256. Mend it in Details" in page.values["plan"] and "steps" not in page.values["plan"]
    page.types(steps=0)
    assert "2 settings are wrong. Mend them in Details" in page.values["plan"]
    assert "Rank can be at most 256" in page.starts() and not runs.all_runs(page.context.studio)
    page.takes(page.setup._back_to_preset(page.shown))
    assert page.values["rank"] != 9999 and page.values["notice"] == ""


def test_what_no_field_can_give_changes_nothing(page):
    before = page.context.drafts.train.get()
    page.types(folder="/etc", hand={"rank": 8}, no_such_setting=1, rank=[8])
    assert page.context.drafts.train.get() == before


def test_a_page_is_sent_the_pictures_only_where_it_shows_others(page):
    grid = page.setup._pictures.desk.board
    assert grid in page.changes
    page.types(trigger="zxy_style")
    assert grid not in page.changes
    assert grid in page.setup._look({}) and page.setup._look(page.shown) == {}
    page.types(resolution=64)  # they are framed otherwise
    (cell,) = json.loads(page.changes[grid])["cells"]
    assert (cell["size"], cell["learnt"], cell["crop"]) == ([96, 96], [64, 64], [0.5, 0.5])


def test_pictures_that_are_deleted_elsewhere_go_from_the_page_and_a_base_that_is_gone_is_said(page):
    shutil.rmtree(page.context.studio.pictures / page.shown["folder"])
    page.types(trigger="zxy_style")
    assert page.shown["folder"] == "" and not page.changes[page.setup._pictures._chosen]["visible"]
    assert "These pictures are not in your studio any more. Choose them again." in page.values["notice"]
    assert page.setup._look(page.shown) == {}
    page.setup._pictures._choose("")
    page.types(base="pretty")
    assert "is not here any more; Starter takes its place." in page.values["notice"]
    page.types(base="starter")
    assert page.values["notice"] == ""


def test_a_start_that_is_refused_ends_no_drawing_and_lets_no_queue_go_on(page, monkeypatch):
    ended = []
    monkeypatch.setattr(page.context.drawer, "release", lambda: ended.append(True))
    monkeypatch.setattr(queue, "check_disk", refuse)
    queue.hold(page.context.studio, True)
    assert "The disk is full." in page.starts(trigger="zxy_one") and not ended
    assert runs.all_runs(page.context.studio) == []


def test_start_takes_along_what_was_just_typed_waits_its_turn_and_pressed_twice_is_one_run(page):
    studio = page.context.studio
    going_on = studio.runs / "20260101-000000-abcd"
    going_on.mkdir(parents=True)
    (going_on / "job.json").write_text("{}")
    life = Lock(going_on / "task.lock")
    life.hold()
    try:
        assert "zxy_one waits for 20260101-000000-abcd; place 1 in Runs." in page.starts(trigger="zxy_one")
        assert "place 1 in Runs." in page.starts() and not page.told["stays"]  # it is true no longer
        assert "zxy_two waits for" in (said := page.starts(trigger="zxy_two")) and "place 2 in Runs." in said
        assert [run.job.name for run in queue.waiting(studio)] == ["zxy_one", "zxy_two"]
        assert page.setup._look(page.shown) == {}
        queue.remove(studio, queue.waiting(studio)[0])
        page.takes(page.setup._look(page.shown))
        assert "zxy_two waits for" in (said := page.values["notice"]) and "place 1 in Runs." in said
    finally:
        life.release()


def test_what_of_the_pictures_is_cropped_is_told_and_follows_the_settings(page):
    assert "1 picture at 128 px: 1 is smaller than 128 x 128 and learnt that small." in page.values["sizes"]
    assert "one.png, 96 x 96: learnt at 96 x 96" in page.values["sizes"]
    page.types(resolution=64)
    assert "1 picture at 64 px: hardly anything is cropped." in page.values["sizes"]
    assert "learnt at 64 x 64" in page.values["sizes"]
