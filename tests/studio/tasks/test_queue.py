"""Runs wait their turn, are reordered and removed, survive the app, and one that fails does not stop the next."""

import errno
import shutil

import pytest

from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import process, queue, runs
from lora_gui.studio.tasks.run import queued
from tests.studio.tasks.test_runs import UNRULY, job, wait_until


@pytest.fixture
def studio(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "COMMAND", UNRULY)
    found = Studio(tmp_path / "studio")
    yield found
    for run in runs.all_runs(found):  # a test that failed may leave a child
        if beat := run.beat():
            process.kill(beat[0])


def names(studio):
    return [run.job.name for run in queue.waiting(studio)]


def test_the_first_starts_at_once_and_the_others_wait_in_order(studio):
    first, *others = [queue.add(studio, job(studio, name)) for name in ("one", "two", "three", "four")]
    wait_until(lambda: first.status().state == "running")
    assert names(studio) == ["two", "three", "four"]
    assert {run.status().state for run in others} == {run.summary().state for run in others} == {"waiting"}
    queue.move(studio, others[2], 1)
    queue.remove(studio, others[1])
    assert names(studio) == ["four", "two"] and not others[1].folder.exists()
    with pytest.raises(UserError, match="does not wait"):
        queue.move(studio, first, 1)
    assert queue.advance(studio) is None  # one is running
    first.stop()
    wait_until(lambda: not first.lives())
    assert queue.advance(studio).job.name == "four" and names(studio) == ["two"]


def test_a_run_that_fails_does_not_stop_the_next_and_an_attendant_brings_it_up(studio, monkeypatch):
    monkeypatch.setattr(queue, "SECONDS", 0.05)
    attendant = queue.Attendant(studio)
    ordered = [queue.add(studio, job(studio, name)) for name in ("dies", "out-of-memory", "calm")]
    wait_until(lambda: ordered[2].status().state == "running", 60)
    assert [run.status().state for run in ordered[:2]] == ["failed", "failed"]
    attendant.close()


def test_a_drive_that_is_away_for_a_moment_does_not_end_the_queue(studio, monkeypatch):
    looks = []

    def advance(_):
        looks.append(1)
        raise OSError(errno.EIO, "away")

    monkeypatch.setattr(queue, "advance", advance)
    monkeypatch.setattr(queue, "SECONDS", 0.001)
    attendant = queue.Attendant(studio)
    wait_until(lambda: len(looks) > 1)
    attendant.close()


def test_the_queue_is_there_after_a_restart_and_waits_while_a_pause_holds_it(studio):
    first, second = (queue.add(studio, job(studio, name)) for name in ("one", "two"))
    wait_until(lambda: first.status().state == "running")
    runs.pause(studio, first)
    queue.hold(studio, True)
    wait_until(lambda: not first.lives())
    again = Studio(studio.home)  # nothing of it is held in memory
    assert names(again) == ["two"] and queue.advance(again) is None
    queue.hold(again, False)
    assert queue.advance(again).folder == second.folder


@pytest.mark.parametrize("text", ["[1]", '{"order": 5}', '{"order": ["../x", 3, "gone"]}', "{" * 9999])
def test_an_odd_queue_file_is_an_empty_queue(studio, text):
    studio.runs.mkdir(parents=True)
    (studio.runs / "queue.json").write_text(text)
    assert queue.waiting(studio) == [] and queue.advance(studio) is None
    run = queue.add(studio, job(studio))
    wait_until(lambda: run.status().state == "running")


def test_a_run_whose_folder_is_gone_is_in_no_queue_once_that_is_changed(studio):
    first, *others = [queue.add(studio, job(studio, name)) for name in ("one", "two", "three")]
    wait_until(lambda: first.status().state == "running")
    shutil.rmtree(others[0].folder)
    queue.hold(studio, True)
    assert queued(studio.runs) == [others[1].folder.name]


def test_a_run_that_waits_is_not_asked_for_what_nobody_would_do(studio):
    first, waits = (queue.add(studio, job(studio, name)) for name in ("one", "two"))
    wait_until(lambda: first.status().state == "running")
    for act in (runs.pause, runs.stop, runs.delete):
        with pytest.raises(UserError, match="waits for its turn"):
            act(studio, waits)
    assert waits.status().state == "waiting" and not waits.files.asked()


def test_a_run_that_cannot_be_started_says_why_and_the_next_one_comes(studio):
    first, odd, calm = (queue.add(studio, job(studio, name)) for name in ("one", "two", "three"))
    wait_until(lambda: first.status().state == "running")
    (odd.folder / "samples").symlink_to(studio.home)
    first.stop()
    wait_until(lambda: not first.lives())
    assert queue.advance(studio).folder == calm.folder
    assert odd.status().what.startswith("samples in the run")
    assert calm.lives()
