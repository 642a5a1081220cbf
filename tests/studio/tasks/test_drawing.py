"""The resident child's parent side: orders, crashes, and what is kept."""

import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.numpy import save_file

from lora_gui.errors import UserError
from lora_gui.protocol.jobs import Base
from lora_gui.settings import DrawSettings, StackEntry
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import drawing, process
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.studio.tasks.drawing_status import after
from lora_gui.studio.things.drawings import record
from tests.studio.tasks.test_runs import wait_until

BASE = Base(key="toy", title="Toy", family="sd1", path="toy")


@pytest.fixture
def studio(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "COMMAND", (sys.executable, str(Path(__file__).with_name("unruly_worker.py"))))
    return Studio(tmp_path)


@pytest.fixture
def drawer(studio):
    found = Drawer(studio)
    yield found
    found.close()


def last(drawer, id):
    return list(drawer.wait(id))[-1]


def draw(drawer, prompt="a cat", **more):
    return last(drawer, drawer.order(BASE, DrawSettings(prompt=prompt, **more)))


def test_drawings_land_in_the_folder_of_the_day_and_one_child_makes_them_all(studio, drawer):
    first, second = draw(drawer), draw(drawer)
    assert (first.state, first.done, first.of) == ("done", 1, 1) and first.notes == second.notes
    assert first.drawings[0].name < second.drawings[0].name
    assert first.drawings[0].parent.parent == studio.drawings


def test_a_child_that_dies_over_an_order_twice_fails_it_and_the_next_order_gets_a_new_one(drawer):
    before = draw(drawer).notes
    status = draw(drawer, "die")
    assert "started again" in status.notes[0]
    assert (status.state, status.what) == (
        "failed",
        "The work ended without a word; often the computer ran out of memory.",
    )
    after = draw(drawer)
    assert after.state == "done" and after.notes != before


def test_a_child_killed_in_the_middle_is_started_again_and_the_order_done(drawer):
    pid = int(draw(drawer).notes[0].split()[-1])
    os.kill(pid, getattr(signal, "SIGSTOP", signal.SIGTERM))  # so that it is in the middle
    order, behind = (drawer.order(BASE, DrawSettings(prompt=prompt)) for prompt in ("a cat", "a dog"))
    psutil.Process(pid).kill()
    said, done = last(drawer, order), last(drawer, behind)
    assert said.state == done.state == "done" and said.done == len(said.drawings) == 1
    assert "started again, and the drawing begun anew" in said.notes[0] and len(done.notes) == 1


def test_orders_change_places_behind_the_one_in_work_and_are_taken_out(drawer):
    ids = [drawer.order(BASE, DrawSettings(prompt=prompt)) for prompt in ("wait", "a", "b", "c", "d")]
    drawer.move(ids[0], 1)  # the one in work stays
    drawer.move(ids[1], 9)
    drawer.move(ids[4], -1)
    drawer.move(ids[2], -9)
    drawer.cancel(ids[3])
    assert [(one.prompt, one.of) for one in drawer.waiting()] == [(name, 1) for name in ("wait", "b", "d", "a")]
    assert [one.id for one in drawer.ended()] == [ids[3]]
    drawer.cancel(ids[0])
    times = [last(drawer, ids[number]).drawings[0].stat().st_mtime_ns for number in (2, 4, 1)]
    assert times == sorted(times) and drawer.waiting() == [] and drawer.ended()[-1].id == ids[1]
    draw(drawer)
    assert len(drawer.ended()) == 1  # there was nothing to do before


def test_a_child_killed_between_two_orders_is_started_again(drawer):
    pid = int(draw(drawer).notes[0].split()[-1])
    psutil.Process(pid).kill()
    wait_until(lambda: drawer._child is None)
    assert draw(drawer).state == "done"


def test_a_refusal_reaches_its_own_order_only(drawer):
    refused = draw(drawer, "refuse")
    assert (refused.state, refused.what, refused.remedy) == ("failed", "No.", "Ask again.") and draw(
        drawer
    ).state == "done"


def test_an_order_can_be_cancelled(drawer):
    id = drawer.order(BASE, DrawSettings(prompt="wait"))
    drawer.cancel(id)
    assert last(drawer, id).state == "stopped"
    drawer.cancel(id)
    assert drawer.status(id).state == "stopped"


def test_release_ends_the_child_and_says_so_to_whoever_waits(drawer):
    pid = int(draw(drawer).notes[0].split()[-1])
    id = drawer.order(BASE, DrawSettings(prompt="wait"))
    drawer.release()
    assert drawer.status(id).what == "Drawing was stopped to make room for a training."
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    drawer.release()
    assert draw(drawer).state == "done"


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot suspend so")
def test_a_child_that_hangs_makes_nobody_wait_and_a_cancel_ends_it(drawer, monkeypatch):
    monkeypatch.setattr(drawing, "UNANSWERED", 1.0)
    pid = int(draw(drawer).notes[0].split()[-1])
    os.kill(pid, signal.SIGSTOP)
    hung = drawer.order(BASE, DrawSettings(prompt="wait"))
    long = "a" * 4000  # together more than a pipe holds
    behind = [drawer.order(BASE, DrawSettings(prompt=long)) for _ in range(40)]
    drawer.cancel(behind[5])
    assert (drawer.status(behind[5]).state, drawer.status(hung).state) == ("stopped", "queued")
    drawer.cancel(hung)
    assert last(drawer, hung).state == "stopped"
    assert {last(drawer, id).state for n, id in enumerate(behind) if n != 5} == {"done"}  # by the next child
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot suspend so")
def test_a_child_that_hangs_is_let_go_in_bounded_time(drawer, monkeypatch):
    monkeypatch.setattr(drawing, "PATIENCE", 0.5)
    os.kill(int(draw(drawer).notes[0].split()[-1]), signal.SIGSTOP)
    drawer.order(BASE, DrawSettings(prompt="wait"))
    drawer.release()
    assert draw(drawer).state == "done"


def test_orders_behind_one_whose_child_died_are_drawn_by_the_next_child(drawer):
    ids = [drawer.order(BASE, DrawSettings(prompt=prompt)) for prompt in ("die", "a cat", "refuse", "a dog")]
    assert [last(drawer, id).state for id in ids] == ["failed", "done", "failed", "done"]


def test_many_threads_may_order_at_once(drawer):
    states = []
    threads = [threading.Thread(target=lambda: states.append(draw(drawer).state)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert states == ["done"] * 8


def test_what_was_made_of_an_order_is_said_with_it(drawer):
    status = draw(drawer, "a cat AND a dog", seed=-1)
    assert "AND" in status.notes[0] and status.notes[1].startswith("The new seed is ")
    assert status.state == "done" and len(status.seeds) == 1


def test_drawings_can_go_into_another_folder(drawer, tmp_path):
    id = drawer.order(BASE, DrawSettings(), tmp_path / "out" / "deep")
    assert last(drawer, id).drawings[0].parent == tmp_path / "out" / "deep"


def test_an_order_of_another_start_of_the_app_is_a_sentence(drawer):
    with pytest.raises(UserError, match="before the app was started again"):
        drawer.status("20200101-000000-0000")


def lora(path, architecture):
    layer = "lora_unet_down_blocks_0_attentions_0_to_q"
    halves = {
        f"{layer}.lora_down.weight": np.ones((2, 8), np.float16),
        f"{layer}.lora_up.weight": np.ones((8, 2), np.float16),
    }
    save_file(halves, path, {"modelspec.architecture": architecture})
    return str(path)


def test_a_lora_of_another_family_is_refused_before_anything_is_loaded(drawer, tmp_path):
    other = Base(key="o", title="Another base", family="flux1", path="o")
    stack = (StackEntry(lora=lora(tmp_path / "mine.safetensors", "stable-diffusion-v1/lora")),)
    with pytest.raises(UserError) as caught:
        drawer.order(other, DrawSettings(stack=stack))
    assert caught.value.what == "The LoRA mine is for another family of bases than Another base."
    stack = (StackEntry(lora=lora(tmp_path / "far.safetensors", "stable-diffusion-v2-512/lora")),)
    with pytest.raises(UserError, match="another kind of base"):
        drawer.order(BASE, DrawSettings(stack=stack))
    with pytest.raises(UserError, match="There is no LoRA gone"):
        drawer.order(BASE, DrawSettings(stack=(StackEntry(lora=str(tmp_path / "gone.safetensors")),)))


def test_a_drawing_tells_how_it_was_made_and_a_stranger_tells_nothing(tmp_path):
    texts = PngInfo()
    texts.add_text("parameters", "a cat 日本\nSteps: 3")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=texts)
    (tmp_path / "b.png").write_bytes(b"nonsense")
    assert record(tmp_path / "a.png") == "a cat 日本\nSteps: 3"
    assert record(tmp_path / "b.png") == record(tmp_path / "gone.png") == ""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no sessions")
def test_ctrl_c_in_the_terminal_does_not_reach_the_child(drawer):
    pid = int(draw(drawer).notes[0].split()[-1])
    assert os.getsid(pid) == pid


def test_a_preview_that_cannot_be_deleted_keeps_no_order_from_its_end(drawer, monkeypatch):
    def refused(path):
        raise UserError("It is open in another program.", "Close it there.")

    monkeypatch.setattr(drawing.files, "remove", refused)
    shown = lambda status, event: replace(after(status, event), preview=Path(__file__).parent)  # noqa: E731
    monkeypatch.setattr(drawing, "after", shown)
    assert draw(drawer).state == draw(drawer).state == "done"


def test_a_child_that_the_system_does_not_start_is_a_sentence(drawer, monkeypatch):
    monkeypatch.setattr(process, "COMMAND", ("/no/such/program",))
    status = draw(drawer)
    assert status.state == "failed" and "does not start (No such file or directory)" in status.what
