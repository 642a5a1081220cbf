"""One life for every task: it hangs, it is moved, its log is long, its clock is set, and it can always be ended."""

import os
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.protocol import events
from lora_gui.protocol.jobs import TrainJob
from lora_gui.protocol.task_folder import TaskFolder
from lora_gui.studio.paths import Studio, new_id
from lora_gui.studio.tasks import process, runs
from lora_gui.studio.things import bases
from tests.studio.tasks.test_resume import ended
from tests.studio.tasks.test_runs import UNRULY, job, wait_until


@pytest.fixture
def studio(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "COMMAND", UNRULY)
    found = Studio(tmp_path / "studio")
    yield found
    for run in runs.all_runs(found):  # a test that failed may leave a child
        if beat := run.beat():
            process.kill(beat[0])


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot suspend so")
@pytest.mark.parametrize("asked", ["stop", "pause"])
def test_a_child_that_hangs_is_ended_by_force_when_it_is_asked_something(studio, asked, monkeypatch):
    monkeypatch.setattr(runs, "HANGS", 1.0)
    run = runs.start(studio, job(studio))
    wait_until(lambda: run.status().state == "running" and run.beat())
    os.kill(run.beat()[0], signal.SIGSTOP)
    getattr(runs, asked)(studio, run)
    wait_until(lambda: run.status().ended)
    assert run.status().state == {"stop": "stopped", "pause": "paused"}[asked]
    assert runs.running(studio) is None


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot suspend so")
def test_a_hung_child_that_is_stopped_has_its_checkpoint_published(studio):
    run = ended(studio, events.Paused(3), name="fox")
    runs.resume(studio, run)
    wait_until(lambda: run.status().state == "running" and run.beat())
    os.kill(run.beat()[0], signal.SIGSTOP)
    run.stop()
    runs.end(studio, run)
    wait_until(lambda: run.status().ended)
    assert (run.status().state, run.status().lora) == ("stopped", "/published.safetensors")


def test_a_child_that_answers_no_question_is_given_up(studio, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="longer than"):
        process.ask("draw", ['{"draw": {"id": "x", "settings": {"prompt": "hang"}}}'], tmp_path / "log", seconds=0.5)


def test_ids_only_grow_whatever_the_clock_says(tmp_path, monkeypatch):
    ids = []
    for ahead in (0, 400 * 86_400, -86_400, 0, 0):
        monkeypatch.setattr("lora_gui.studio.paths.datetime", _Clock(ahead))
        ids.append(new_id(tmp_path))
        (tmp_path / ids[-1]).mkdir()
    assert ids == sorted(ids) and len({*ids}) == 5


class _Clock:
    """A clock that is set."""

    def __init__(self, ahead: float) -> None:
        from datetime import datetime

        self._real, self._ahead = datetime, ahead
        self.strptime = datetime.strptime

    def now(self, zone):
        from datetime import timedelta

        return self._real.now(zone) + timedelta(seconds=self._ahead)


def test_the_newest_run_is_the_newest_also_after_a_journey_west(studio, monkeypatch):
    first = ended(studio, events.Paused(3), name="journey")
    there = studio.runs / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(time.time() + 3600))}-0000"  # local time, once
    first.folder.rename(there)
    second = ended(studio, events.Paused(3), name="journey")
    assert runs.latest(studio).folder == second.folder
    assert runs.find(studio, "journey").folder == second.folder


@pytest.mark.parametrize("how", [shutil.move, shutil.copytree])
def test_a_studio_that_is_moved_or_copied_goes_on_where_it_is_now(studio, tmp_path, how):
    run = ended(studio, events.Stopped(3, str(studio.loras / "fox.safetensors"), "ab"), name="fox")
    kept = run.job
    text = run.files.job.read_text()
    assert str(tmp_path) not in text.replace(kept.pictures[0].path, "")  # the picture of this test lies outside
    how(str(studio.home), str(tmp_path / "elsewhere"))
    moved = runs.latest(Studio(tmp_path / "elsewhere"))
    assert moved.job.publish_to == str(tmp_path / "elsewhere" / "loras")
    assert moved.job.cache == str(tmp_path / "elsewhere" / "cache")
    assert moved.job.base.path == str(tmp_path / "elsewhere" / "toy")


def test_the_base_that_ships_is_found_where_the_program_is_now(studio):
    run = ended(studio, events.Paused(3))
    shipped = bases.find(studio, "starter")
    run.files.write_job(run.job.model_copy(update={"base": shipped}))
    assert str(bases.SHIPPED) not in run.files.job.read_text()
    assert run.job.base == shipped


def test_a_job_of_a_newer_app_is_read_as_far_as_it_is_known(studio):
    run = ended(studio, events.Paused(3))
    said = files.read_json(run.files.job)
    files.write_json(run.files.job, said | {"version": 9, "mood": "x", "settings": said["settings"] | {"ema": 0.9}})
    assert run.job.settings == TrainJob.model_validate(said).settings


def test_two_hundred_long_runs_are_listed_without_reading_what_they_said(studio, monkeypatch):
    line = "".join(events.to_line(events.Step(n, 10_000, 0.5, 1e-4, 1.0)) + "\n" for n in range(1, 10_001))
    long = ended(studio, events.Paused(3))
    long.files.events.write_text(line + long.files.events.read_text())
    first = runs.summaries(studio)  # reads it once, and writes down how it stands
    assert first[0].state == "paused"
    for n in range(199):
        shutil.copytree(long.folder, studio.runs / f"20250101-000000-{n:04x}")
    read: list[Path] = []
    monkeypatch.setattr("lora_gui.studio.tasks.status.open", lambda path, mode: read.append(path), raising=False)
    found = runs.summaries(studio)
    assert len(found) == 200 and {one.state for one in found} == {"paused"} and not read


def test_following_a_long_log_costs_each_line_once(studio):
    run, follower = ended(studio, events.Paused(3)), None
    with open(run.files.events, "a") as file:
        for n in range(1, 20_001):
            file.write(events.to_line(events.Step(n, 20_000, 0.5, 1e-4, 1.0)) + "\n")
    began = time.process_time()
    follower = runs.Run(run.folder)
    assert len(follower.status().losses) == 20_000
    whole = time.process_time() - began
    began = time.process_time()
    for _ in range(50):
        follower.status()
    assert time.process_time() - began < 5 * whole  # fifty looks at what is known


def test_an_odd_run_folder_hides_no_other(studio):
    good = ended(studio, events.Paused(3))
    for n, text in enumerate(("[1]", "{" * 100_000, '{"name": 5}', "")):
        odd = studio.runs / f"29990101-00000{n}-0000"
        odd.mkdir()
        (odd / "job.json").write_text(text)
        (odd / "child.json").write_text('{"pid": Infinity, "log": "x", "in": 3}')
        (odd / "events.jsonl").write_text('{"event": "Done", "lora": 5}\n')
    os.mkfifo(studio.runs / "29990101-000009-0000") if os.name != "nt" else None
    assert {one.state for one in runs.summaries(studio)} == {"failed", "paused"}
    assert runs.find(studio, "calm").folder == good.folder and runs.running(studio) is None


def test_a_run_is_deleted_with_all_its_files_once_it_has_ended(studio, monkeypatch):
    run, binned = runs.start(studio, job(studio)), []
    monkeypatch.setattr(runs, "send2trash", binned.append)
    with pytest.raises(UserError, match="going on"):
        runs.delete(studio, run)
    run.stop()
    wait_until(lambda: run.status().ended)
    assert runs.size(run) > 100
    runs.delete(studio, run)
    assert binned == [run.folder]


def test_the_lock_of_a_child_is_freed_by_its_death_alone(studio):
    run = runs.start(studio, job(studio))
    task = TaskFolder(run.folder)
    assert task.lives()
    wait_until(run.beat)  # which it says of itself a moment after it has the lock
    psutil.Process(run.beat()[0]).kill()
    wait_until(lambda: not task.lives())
    assert task.lock.exists()


def test_a_token_in_another_encoding_is_refused_before_a_child_starts_and_shown_nowhere(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "start", None)
    for ask in (lambda: process.ask("sign_in", ["hf_\udcff"], tmp_path / "log"),
                lambda: process.follow("upload", '{"folder": "caf\udce9"}', tmp_path / "log", print)):  # fmt: skip
        with pytest.raises(UserError, match="not in UTF-8") as caught:
            ask()
        assert "hf_" not in str(caught.value) and "caf" not in str(caught.value)
