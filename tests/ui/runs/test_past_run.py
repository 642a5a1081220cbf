"""A run chosen from the list, long after its end."""

import gradio as gr
import pytest

from lora_gui.protocol import events
from lora_gui.protocol.jobs import Base, TrainJob, TrainPicture
from lora_gui.settings import TrainSettings
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import runs
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.ui.context import Context
from lora_gui.ui.runs.past_run import PastRun

NAME = "20260101-120000-abcd"


@pytest.fixture
def past(tmp_path):
    studio = Studio(tmp_path)
    with gr.Blocks():
        context = Context(studio, Drawer(studio))
        with gr.Tabs() as context.tabs, gr.Tab("Runs"), gr.Column() as listed:
            pass
        view = PastRun(context, listed)
    folder = studio.runs / NAME
    folder.mkdir(parents=True)
    base = Base(key="toy", title="Toy", family="sd1", path="/toy")
    picture = TrainPicture(path=str(studio.pictures / "aset" / "0001.png"))
    job = TrainJob(
        name="foxes", trigger="zxy", preset="style", base=base, pictures=(picture,), settings=TrainSettings(steps=20),
        publish_to=str(studio.loras),
    )  # fmt: skip
    (folder / "job.json").write_text(job.model_dump_json())
    said = events.Started(20), events.Stopped(0)
    (folder / "events.jsonl").write_text("".join(events.to_line(event) + "\n" for event in said))
    return view


def test_it_is_shown_with_what_differs_and_leads_back_to_the_list(past):
    shown = past.show(NAME)
    assert "Stopped at step 0" in shown[past._state] and "Style on Toy" in shown[past._head]
    past._context.studio.presets.mkdir()
    (past._context.studio.presets / "style.toml").write_text('title = "墨 Ink"\ndescription = "My own."\n')
    assert "墨 Ink on Toy" in past.show(NAME)[past._head], "as its card is called, not as its file"
    assert "Steps" in shown[past._differs] and shown[past.another]["value"] == "All runs"
    away = past.away()
    assert not away[past._more]["visible"] and away[past.page]["run"] == ""


def test_what_deleting_frees_is_said_before_and_only_then_it_is_gone(past, monkeypatch):
    page = past.show(NAME)[past.page]
    asked = past._asked(page)
    assert asked[past._asking]["visible"] and "Frees 0.1 MB." in asked[past._frees]
    deleted = []
    monkeypatch.setattr(runs, "delete", lambda studio, run: deleted.append(run.folder.name))
    assert past._deleted(page)[past.page]["run"] == "" and deleted == [NAME]


def test_a_clone_fills_the_draft_of_train_and_says_that_its_pictures_are_gone(past):
    changes = past._cloned(past.show(NAME)[past.page])
    draft = past._context.drafts.train.value
    assert changes[past._context.tabs]["selected"] == "train"
    assert (draft.trigger, draft.preset, draft.folder) == ("zxy", "style", "") and draft.hand["steps"] == 20
    assert draft.note == "The pictures of foxes are not in your studio any more."
