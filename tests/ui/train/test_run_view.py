"""A run as the window shows it, built from its folder alone."""

import errno
import shutil

import gradio as gr
import pytest
from PIL import Image

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.protocol import events
from lora_gui.protocol.jobs import Base, TrainJob, TrainPicture
from lora_gui.protocol.lock import Lock
from lora_gui.settings import TrainSettings
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import runs
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.studio.things import pictures
from lora_gui.ui import context
from lora_gui.ui.context import Context
from lora_gui.ui.train import run_view
from lora_gui.ui.train.run_view import Aside, RunView

NAME = "20260101-120000-abcd"


class Window:
    """The view in a window of its own, and the folder of one run that this process pretends to be working on."""

    def __init__(self, home):
        self.studio = Studio(home)
        with gr.Blocks():
            shared = Context(self.studio, Drawer(self.studio))
            self.setup = gr.Column()
            self.view = RunView(shared, (self.setup,), Aside())
        self.folder = self.studio.runs / NAME
        self.folder.mkdir(parents=True)
        job = TrainJob(
            name="foxes",
            trigger="zxy_<b>fox",
            preset="style",
            base=Base(key="toy", title="Toy", family="sd1", path="/toy"),
            pictures=(TrainPicture(path="0001.png"),),
            settings=TrainSettings(steps=20),
            publish_to=str(self.studio.loras),
        )
        (self.folder / "job.json").write_text(job.model_dump_json())
        self.life = Lock(self.folder / "task.lock")
        self.life.hold()

    def say(self, *said):
        with open(self.folder / "events.jsonl", "a", encoding="utf-8") as file:
            file.writelines(events.to_line(event) + "\n" for event in said)

    def shown(self):
        changes = self.view.show(NAME)
        parts = vars(self.view) | {f"insight{part}": one for part, one in vars(self.view._insight).items()}
        return {part: changes[component] for part, component in parts.items() if _is_in(component, changes)}


def _is_in(component, changes):
    return isinstance(component, gr.blocks.Block) and component in changes


@pytest.fixture
def window(tmp_path):
    made = Window(tmp_path)
    yield made
    made.life.release()


def test_while_it_runs_step_time_left_and_stop_are_there(window):
    window.say(events.Started(20), events.Step(5, 20, 0.2, 1e-3, 120), events.Step(6, 20, 0.1, 1e-3, 118))
    shown = window.shown()
    assert "Step 6 of 20" in shown["_state"] and "about 2 minutes left" in shown["_state"]
    assert "<svg" in shown["_plot"] and "foxes" in shown["_head"]
    assert shown["_stop"]["visible"] and not shown["_resume"]["visible"] and not shown["insight_hero"]


def test_what_stands_in_the_job_is_shown_as_text(window):
    assert "<b>fox" not in window.shown()["_head"]


def test_before_the_first_step_the_phase_is_said(window):
    window.say(events.Started(20), events.Phase("Encoding pictures", 3, 24))
    assert "Encoding pictures 3 of 24" in window.shown()["_state"]


def test_a_finished_run_offers_to_draw_and_compares_with_the_base(window):
    for name, colour in (("base-0", "red"), ("final-0", "blue")):
        path = window.folder / "samples" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (128, 128), colour).save(path)
    final = events.Sample(20, str(window.folder / "samples" / "final-0.png"), "a fox", 7)
    done = events.Done(lora="/loras/foxes.safetensors", steps=20, seconds=70)
    window.say(events.Started(20), final, done)
    shown = window.shown()
    assert "Your LoRA is ready." in shown["_state"] and "foxes.safetensors" in shown["_state"]
    assert shown["_draw"]["visible"] and not shown["_stop"]["visible"]
    assert shown["insight_hero"].count("<img") == 2 and "With your LoRA: a fox" in shown["insight_hero"]
    with pytest.raises(UserError, match="foxes is not in your studio any more"):
        window.view._draw_with({"run": NAME})


def test_pictures_that_taught_nothing_are_called_as_their_user_calls_them(window, tmp_path):
    paths = [tmp_path / f"my {colour}.png" for colour in ("blue", "red", "gold", "pink")]
    for path in paths:
        Image.new("RGB", (96, 80), path.stem[3:]).save(path)
    found, _ = pictures.import_pictures(window.studio, paths)
    job = TrainJob.model_validate_json((window.folder / "job.json").read_text())
    learnt = tuple(one.learnt() for one in found.pictures)
    (window.folder / "job.json").write_text(job.model_copy(update={"pictures": learnt}).model_dump_json())
    left = {"0001.png": 0.5, "0002.png": 1.1, "0003.png": 0.6, "0004.png": 0.5}
    measured = events.Measured(0, 1.0), events.Measured(20, 0.6, None, left)
    window.say(events.Started(20), *measured, events.Stopped(20))
    called = found.pictures[1].label
    assert f"{called} taught it next to nothing" in window.shown()["_notes"] and "0002" not in window.shown()["_notes"]
    shutil.rmtree(found.folder)
    assert "Picture 2 taught it next to nothing" in window.shown()["_notes"]


def test_on_a_full_disk_a_finished_run_is_shown_without_pictures_and_says_why(window, monkeypatch):
    for name in ("base-0", "final-0"):
        path = window.folder / "samples" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (128, 128), "red").save(path)
    final = events.Sample(20, str(window.folder / "samples" / "final-0.png"), "a fox", 7)
    window.say(events.Started(20), final, events.Done(lora="/loras/foxes.safetensors", steps=20, seconds=70))

    def refuse(act, path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "about_to", refuse)
    shown = window.shown()
    assert "Your LoRA is ready." in shown["_state"]
    assert shown["_samples"].count("Some pictures cannot be shown: the disk is full.") == 1
    assert "<img" not in shown["_samples"] + shown["insight_hero"]


def test_a_failed_run_says_why_and_what_to_do_and_offers_no_drawing(window):
    window.say(events.Started(20), events.Failed("The disk is full.", "Make some space and start again."))
    shown = window.shown()
    assert "The disk is full." in shown["_state"] and "Make some space" in shown["_state"]
    assert not shown["_draw"]["visible"] and shown["_resume"]["visible"]


def test_a_run_stopped_too_early_says_that_nothing_was_saved(window):
    window.say(events.Started(20), events.Stopped(0))
    assert "nothing was saved" in window.shown()["_state"]


def test_nothing_is_sent_again_when_nothing_has_changed_and_only_the_new_when_it_has(window):
    window.say(events.Started(20), events.Step(5, 20, 0.2, 1e-3, 120))
    view, first = window.view, window.view.show(NAME)
    assert view._look(first[view.page]) == {}
    window.say(events.Note("Worth a look."))
    changes = view._look(first[view.page])
    assert "Worth a look." in changes[view._notes]
    assert view._plot not in changes and view._head not in changes and view._samples not in changes


def test_an_opened_page_shows_the_newest_run_until_its_end_was_put_away(window):
    window.say(events.Started(20), events.Stopped(0))
    window.life.release()
    view = window.view
    shown = view._look({})
    assert shown[view.page]["run"] == NAME
    away = view._put_away(shown[view.page])
    assert away[window.setup]["visible"] and view._look(away[view.page]) == {}
    assert view._look({}) == {view.page: {"run": ""}}


def test_a_page_that_prepares_another_stays_away_from_the_run_and_hears_how_it_stands(window):
    window.say(events.Started(20), events.Step(5, 20, 0.2, 1e-3, 120))
    view = window.view
    assert window.shown()["_prepare"]["visible"] and not window.shown()["another"]["visible"]
    away = view._put_away(view.show(NAME)[view.page])
    assert away[window.setup]["visible"] and away[view._aside.row]["visible"]
    assert "foxes is training." in away[view._aside.words] and view._look(away[view.page]) == {}
    assert view._look({})[view.page]["run"] == NAME, "a page that is opened shows it"
    window.say(events.Stopped(0))
    window.life.release()
    assert "foxes was stopped." in view._look(away[view.page])[view._aside.words]


def test_a_run_whose_folder_was_deleted_gives_way_to_the_setup(window):
    changes = window.view._look({"run": "20250101-000000-gone"})
    assert changes[window.view.page]["run"] == "" and changes[window.setup]["visible"]


def test_a_run_that_was_deleted_elsewhere_or_whose_disk_is_full_can_be_put_away(window, monkeypatch):
    window.say(events.Started(20), events.Stopped(0))
    window.life.release()
    page = window.view.show(NAME)[window.view.page]
    monkeypatch.setattr(files, "touch", refuse)
    assert window.view._put_away(page)[window.setup]["visible"]
    shutil.rmtree(window.folder)
    monkeypatch.undo()
    assert window.view._put_away(page)[window.setup]["visible"] and not window.folder.exists()


def refuse(*asked):
    raise UserError("The disk is full.", "Make some space.")


def keep_checkpoint(window):
    kept = window.folder / "checkpoints" / "ckpt-000005"
    kept.mkdir(parents=True)
    (kept / "MANIFEST.json").write_text("{}")


def test_while_it_runs_it_can_be_paused_and_the_buttons_wait_meanwhile(window):
    window.say(events.Started(20), events.Step(5, 20, 0.2, 1e-3, 120))
    assert window.shown()["_pause"]["visible"] and not window.shown()["_resume"]["visible"]
    shown = window.view._paused(window.view.show(NAME)[window.view.page])
    assert (window.folder / "pause").exists() and "Pausing" in shown[window.view._state]
    assert not shown[window.view._pause]["interactive"]


def test_a_paused_run_offers_to_resume_to_stop_and_to_draw(window):
    keep_checkpoint(window)
    window.say(events.Started(1400), events.Paused(820))
    shown = window.shown()
    assert "Paused at step 820 of 1,400." in shown["_state"]
    assert shown["_resume"]["value"] == "Resume" and shown["_resume"]["visible"]
    assert shown["_stop"]["visible"] and shown["_draw"]["visible"] and not shown["_pause"]["visible"]


def test_a_run_paused_before_it_learnt_anything_offers_to_resume_alone(window):
    window.say(events.Started(1400))
    seen = window.view.show(NAME)[window.view.page]
    window.say(events.Paused(0))
    window.life.release()
    shown, anew = window.shown(), window.view._look(seen)
    for part, coming in ((window.view._samples, "appear here soon"), (window.view._plot, "after the first steps")):
        assert "so far." in anew[part] and coming not in anew[part], "nothing comes while it is paused"
    assert "Paused" in shown["_state"] and shown["_resume"]["value"] == "Resume"
    assert not shown["_stop"]["visible"] and not shown["_draw"]["visible"]
    with pytest.raises(UserError, match="before it had learnt anything"):
        runs.stop(window.studio, runs.Run(window.folder))


def test_a_run_that_was_cut_short_says_where_and_offers_to_resume(window):
    keep_checkpoint(window)
    window.say(events.Started(1400), events.Step(820, 1400, 0.2, 1e-3, 120))
    window.life.release()
    shown = window.shown()
    assert "Your run stopped at 820 of 1,400." in shown["_state"] and shown["_resume"]["visible"]
    assert "Copy a report" in shown["_report"]


@pytest.mark.parametrize(
    ("cause", "words"), [("memory", "Retry with less memory"), ("diverged", "Retry with a lower learning rate")]
)
def test_a_failed_run_offers_what_helps(window, cause, words):
    window.say(events.Started(20), events.Failed("It broke.", "Try again.", cause=cause))
    assert window.shown()["_resume"]["value"] == words


def test_a_finished_run_can_be_trained_further(window):
    window.say(events.Started(20), events.Done(lora="/loras/foxes.safetensors", steps=20, seconds=70))
    assert window.shown()["_resume"]["value"] == "Train 10 more steps"


def test_a_run_that_does_not_end_for_long_can_be_ended_by_force(window, monkeypatch):
    ended = []
    monkeypatch.setattr(run_view.runs, "end", lambda studio, run: ended.append(run.folder.name))
    window.say(events.Started(20), events.Step(5, 20, 0.2, 1e-3, 120))
    (window.folder / "stop").touch()
    assert not window.shown()["_stop"]["interactive"]  # a double click must not be taken for it
    monkeypatch.setattr(context, "OVERDUE", -1.0)
    shown = window.shown()["_stop"]
    assert (shown["value"], shown["interactive"]) == ("End it now", True)
    window.view._stopped(window.view.show(NAME)[window.view.page])
    assert ended == [NAME]
