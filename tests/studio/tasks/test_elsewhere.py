"""A run that another computer works at is followed as its folder grows: no lock is seen from here, no clock asked."""

import os
import shutil
from argparse import Namespace

import pytest

from lora_gui import files
from lora_gui.commands.runs import run_pause, run_resume
from lora_gui.errors import UserError
from lora_gui.protocol import events
from lora_gui.protocol.whereabouts import machine
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import process, runs
from lora_gui.studio.tasks.run import Run
from lora_gui.ui.train import run_words
from tests.studio.tasks.test_resume import ended
from tests.studio.tasks.test_runs import UNRULY, wait_until


@pytest.fixture
def studio(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "COMMAND", UNRULY)
    found = Studio(tmp_path / "studio")
    yield found
    for run in runs.all_runs(found):
        if beat := run.beat():
            process.kill(beat[0])


def elsewhere(studio, *said, at="another"):
    """The folder of a run as rsync or a mounted drive shows it."""
    run = ended(studio, events.Paused(3))
    run.files.events.write_text("".join(events.to_line(one) + "\n" for one in (events.Started(100), *said)))
    files.write_json(run.files.started, {"start": "x", "job": files.sha256(run.files.job), "machine": at, "in": True})
    return run


def step(n):
    return events.Step(n, 100, 0.5, 1e-3, 60.0)


def test_a_run_that_was_started_on_another_computer_is_there_and_goes_on_as_it_grows(studio):
    run = elsewhere(studio, step(10))
    assert (run.status().state, run.status().step, run.status().seconds_left) == ("elsewhere", 10, None)
    assert run.summary().state == "elsewhere" and runs.running(studio) is None
    os.utime(run.files.events, (0, 0))  # no clock tells
    assert Run(run.folder).status().state == "elsewhere"
    files.append_line(run.files.events, events.to_line(step(20)))
    assert run.status().step == 20
    assert "On another computer" in run_words.progress(run.status())
    assert run_words.go_on(run, run.status()) == "Go on here"


def test_one_that_died_here_is_not_elsewhere(studio):
    run = elsewhere(studio, step(10), at=machine())
    assert run.status().state == "failed"
    files.append_line(run.files.events, events.to_line(step(20)))
    assert run.status().state == "failed"


def test_where_nobody_says_where_growth_tells(studio):
    run = elsewhere(studio, step(10))
    run.files.started.unlink()
    assert run.status().state == "failed"
    files.append_line(run.files.events, events.to_line(step(20)))
    assert run.status().state == run.status().state == "elsewhere"
    files.append_line(run.files.events, events.to_line(events.Paused(20)))
    assert run.status().state == "paused"


def test_half_a_line_and_room_that_is_not_filled_yet_are_read_once_they_are_whole(studio):
    run = elsewhere(studio)
    line = (events.to_line(step(30)) + "\n").encode()
    for half in (line[:20], line[:20] + b"\0" * 50, b"\0" * 9):
        whole = run.files.events.read_bytes()
        run.files.events.write_bytes(whole + half)
        assert run.status().step == 0
        run.files.events.write_bytes(whole)
    run.files.events.write_bytes(run.files.events.read_bytes() + line)
    assert run.status().step == 30


def test_an_older_or_another_copy_of_the_events_is_read_from_its_beginning(studio):
    run = elsewhere(studio, step(10), step(20))
    assert len(run.status().losses) == 2
    older = events.to_line(events.Started(100)) + "\n" + events.to_line(step(10)) + "\n"
    partial = run.folder / ".events.jsonl.x"
    partial.write_text(older)
    os.replace(partial, run.files.events)  # as rsync does
    assert (run.status().step, len(run.status().losses)) == (10, 1)
    other = events.to_line(events.Started(777)) + "\n" + events.to_line(events.Step(5, 777, 0.5, 1e-3, 1)) + "\n"
    run.files.events.write_text(other * 3)
    assert run.status().of == 777


def test_the_lora_of_one_that_ended_elsewhere_is_not_whatever_is_called_so_here(studio):
    run = elsewhere(studio, step(100), events.Done("loras/calm.safetensors", "0" * 64, 100, 5.0))
    studio.loras.mkdir(exist_ok=True)
    (studio.loras / "calm.safetensors").write_bytes(b"another")
    status = run.status()
    assert (status.state, status.lora, status.seconds) == ("finished", "", 0.0) and "take FOLDER" in status.remedy
    assert run.summary().lora == "" and "on another computer" in run_words.progress(status)


def test_it_is_asked_by_its_folder_and_goes_on_here_only_when_told_so(studio):
    run = elsewhere(studio, step(3))
    with pytest.raises(UserError, match="on another computer"):
        run_resume(Namespace(run=run.folder.name, here=False, less_memory=False, steps=None, processes=0), studio)
    assert run_pause(Namespace(run=run.folder.name), studio)["state"] == "pausing"
    assert run.files.asked() == "pause"  # which another computer sees that has the folder open
    runs.resume(studio, run)
    wait_until(lambda: Run(run.folder).status().state == "running")
    assert run.files.read_started()["machine"] == machine() and run.files.asked() == ""
    runs.stop(studio, run)


def test_whoever_follows_it_waits_for_its_last_word(studio):
    run = elsewhere(studio, step(10))
    said = run.wait(0.01)
    assert [next(said), next(said)] == [events.Started(100), step(10)]
    files.append_line(run.files.events, events.to_line(events.Paused(10)))
    assert list(said) == [events.Paused(10)]
    shutil.rmtree(run.folder)
