"""Parent side of a run: start, follow, stop, find again; with a child that misbehaves on demand."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.protocol import events
from lora_gui.protocol.jobs import Base
from lora_gui.settings import TrainSettings
from lora_gui.studio.capacity.estimate import estimate
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import launching, process, retries, runs
from lora_gui.studio.things import bases
from lora_gui.studio.things.pictures import Picture

UNRULY = (sys.executable, str(Path(__file__).with_name("unruly_worker.py")))


@pytest.fixture
def studio(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "COMMAND", UNRULY)
    found = Studio(tmp_path / "a studio with Ümläut")
    yield found
    for run in runs.all_runs(found):  # a test that failed may leave a child
        run.stop()


def job(studio, name="calm", **settings):
    base = Base(key="toy", title="Toy", family="sd1", path=str(studio.home / "toy"))
    (studio.home / "toy").mkdir(parents=True, exist_ok=True)
    pictures = [Picture(studio.home / "p.png", "a cat", "p.png")]
    return runs.new_job(studio, name, "zxy", "style", base, pictures, TrainSettings(**settings))


def wait_until(said, seconds=120.0):
    end = time.monotonic() + seconds
    while not said():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def at_once(count, press):
    """What so many calls of `press` in the same moment give, and how those that are refused are refused."""
    ready, given, refused = threading.Barrier(count), [], []

    def one():
        ready.wait()
        try:
            given.append(press())
        except UserError as error:
            refused.append(error)

    presses = [threading.Thread(target=one) for _ in range(count)]
    for thread in presses:
        thread.start()
    for thread in presses:
        thread.join()
    return given, refused


def test_a_run_is_followed_from_its_folder_alone_and_stopped(studio):
    run = runs.start(studio, job(studio))
    other_window = runs.Run(run.folder)
    wait_until(lambda: other_window.status().state == "running")
    assert runs.running(studio).folder == runs.latest(studio).folder == run.folder
    assert other_window.job == run.job
    other_window.stop()
    assert run.status().state in ("stopping", "stopped")
    assert list(run.wait()) == [events.Started(steps=100), events.Stopped(step=3)]
    assert run.status().state == "stopped" and runs.running(studio) is None


def test_the_child_stands_apart_and_no_text_of_the_user_is_on_its_command_line(studio):
    run = runs.start(studio, job(studio, "very-secret-name"))
    child = psutil.Process(json.loads((run.folder / "child.json").read_text())["pid"])
    line = " ".join(child.cmdline())
    assert "very-secret-name" not in line and "zxy" not in line and run.folder.name in line
    if os.name != "nt":
        assert os.getsid(child.pid) == child.pid != os.getsid(0)


def test_who_breaks_off_as_the_child_comes_stops_it(studio, monkeypatch):
    def broken_off(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(launching, "until", broken_off)
        runs.start(studio, job(studio))
    wait_until(lambda: runs.latest(studio).status().state == "stopped")


def test_starts_at_once_give_one_run_each_time(studio, tell):
    row = tell("Four starts at once: one run")
    for times in range(1, 11):
        started, refused = at_once(4, lambda: runs.start(studio, job(studio)))
        with row:
            assert len(started) == 1 and len(runs.all_runs(studio)) == times
            assert {(e.what, e.remedy) for e in refused} == {
                ("A training is already running.", "Wait until it is done, or stop it first.")
            }
        started[0].stop()
        list(started[0].wait())


@pytest.mark.soak
def test_windows_that_die_leave_the_run_alone_and_the_next_one_sees_how_far_it_is(studio, tell):
    run = runs.start(studio, job(studio, "counts"))
    wait_until(lambda: run.status().step > 0)
    script = (
        "import sys; from pathlib import Path; from lora_gui.studio.tasks import runs\n"
        "from lora_gui.studio.paths import Studio\n"
        "status = runs.latest(Studio(Path(sys.argv[1]))).status()\n"
        "print(status.state, status.step, flush=True); sys.stdin.read()"
    )
    held = 0
    for _ in range(10):
        before = run.status().step
        window = subprocess.Popen(
            [sys.executable, "-c", script, str(studio.home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, cwd=process.ROOT,
        )  # fmt: skip
        assert window.stdout
        state, step = window.stdout.readline().split()
        window.kill()
        window.communicate()
        held += state == "running" and before <= int(step) <= run.status().step
    reached = run.status().step
    wait_until(lambda: run.status().step > reached)
    tell("Windows killed while a run goes on: it goes on, the next window shows its step").add(10, held)


def test_a_child_that_died_without_a_word_is_a_failed_run(studio):
    run = runs.start(studio, job(studio, "dies"))
    *said, last = run.wait()
    assert said[-1] == events.Step(7, 100, 0.5, 1e-4, 9.0)
    status = run.status()
    assert (status.state, status.step, status.what) == ("failed", 7, last.what)
    assert last.what == "The work ended without a word; often the computer ran out of memory."
    assert runs.running(studio) is None
    runs.start(studio, job(studio))


def test_a_run_that_ran_out_of_memory_goes_on_with_less_twice_and_then_asks(studio):
    run = runs.start(studio, job(studio, "out-of-memory"))
    status = runs.follow(studio, run, lambda event: None)
    assert (status.state, status.what, status.cause) == ("failed", "There was not enough memory.", "memory")
    less = ("save memory by recomputing all blocks", "resolution 384")
    assert status.notes == tuple(f"There was not enough memory. Now with {what}." for what in less)
    assert retries.changes(run.job, status.cause) == {"resolution": 256}  # what the button would do
    assert (run.folder / "events.jsonl").read_text().count("Started") == 3
    assert not runs.with_less_memory(studio, run)


def test_a_kill_by_the_system_for_memory_is_told_from_any_other(studio, monkeypatch):
    monkeypatch.setattr(runs, "watch", lambda studio: lambda run, child: None)  # it would go on by itself at the end
    run = runs.start(studio, job(studio, "dies"))
    assert list(run.wait())[-1].cause == "" == run.status().cause
    assert not runs.with_less_memory(studio, run)
    log = run.folder / "log.txt"
    log.write_text("torch.OutOfMemoryError, an hour ago")
    started = files.read_json(run.folder / "child.json")
    files.write_json(run.folder / "child.json", started | {"log": len(log.read_text())})
    assert run.status().cause == ""
    kills = process.memory_kills()
    monkeypatch.setattr(process, "memory_kills", lambda: kills + 1)
    assert (run.status().what, run.status().cause) == ("There was not enough memory.", "memory")


def test_a_killed_child_is_noticed_and_no_process_id_and_no_file_makes_it_look_alive(studio):
    run = runs.start(studio, job(studio))
    wait_until(lambda: run.status().state == "running" and run.beat())
    psutil.Process(run.beat()[0]).kill()
    wait_until(lambda: run.status().state == "failed")
    for name in ("beat.json", "child.json", "alive"):  # the last as the version before wrote it
        known = files.read_json(run.folder / name) or {}
        files.write_json(run.folder / name, known | {"pid": os.getpid(), "started": psutil.Process().create_time()})
        os.utime(run.folder / name, (2**32, 2**32))
        assert run.status().state == "failed" and not run.lives() and run.beat() is None


@pytest.mark.parametrize("hours", [-1, 1, 24 * 400])
def test_a_clock_that_is_set_makes_no_live_run_look_dead(studio, hours, monkeypatch):
    run = runs.start(studio, job(studio))
    wait_until(lambda: run.status().state == "running")
    boot, now = psutil.boot_time(), time.time()
    monkeypatch.setattr(psutil, "boot_time", lambda: boot + 3600 * hours)
    monkeypatch.setattr(time, "time", lambda: now + 3600 * hours)
    again = runs.Run(run.folder)
    assert again.lives() and again.status().state == "running"
    with pytest.raises(UserError, match="already running"):
        runs.start(studio, job(studio))
    with pytest.raises(UserError, match="already running"):
        runs.resume(studio, again)


def test_a_copied_folder_is_not_alive_and_a_second_worker_never_enters_a_folder(studio):
    run = runs.start(studio, job(studio))
    wait_until(lambda: run.status().state == "running")
    copy = runs.Run(shutil.copytree(run.folder, studio.runs / "20200101-000000-0000"))
    assert not copy.lives() and copy.status().state == "failed"
    before = run.files.events.read_text()
    worker = [sys.executable, "-m", "lora_gui.worker", "train", str(run.folder)]
    second = subprocess.run(worker, cwd=process.ROOT, capture_output=True)
    assert second.returncode == 3 and second.stdout == b"" and run.files.events.read_text() == before


def test_a_run_that_was_ordered_and_never_started_can_be_resumed(studio):
    run = runs.make(studio, job(studio))
    assert (run.status().state, run.status().what) == ("failed", "This training was not started.")
    runs.resume(studio, run)
    wait_until(lambda: run.status().state == "running")


def test_a_damaged_run_folder_hurts_nobody(studio):
    folder = studio.runs / "20260101-000000-abcd"
    folder.mkdir(parents=True)
    (folder / "job.json").write_text("{")
    (folder / "alive").write_text("nonsense")
    with pytest.raises(UserError, match="is damaged"):
        _ = runs.Run(folder).job
    run = runs.start(studio, job(studio))
    assert [one.folder for one in runs.all_runs(studio)] == [run.folder, folder]
    assert estimate(studio, TrainSettings(), run.job.base) is None


def test_a_full_disk_is_noticed_before_hours_are_spent(studio, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 10**8))
    with pytest.raises(UserError) as caught:
        runs.start(studio, job(studio))
    assert caught.value.what == "Only 0.1 GB are free on your studio's disk; this training needs 0.5 GB."
    assert not runs.all_runs(studio)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"name": "../x"}, "The name '../x' looks like a path."),
        ({"trigger": ""}, "There is no trigger word."),
        ({"trigger": "x"}, "The trigger word 'x' is a single letter, which stands in many prompts."),
        ({"pictures": []}, "There are no pictures."),
    ],
)
def test_what_cannot_be_trained_is_refused_before_a_run_exists(studio, change, what):
    good = {"name": "cat", "trigger": "zxy", "pictures": [Picture(Path("a.png"), "", "a.png")]} | change
    base = Base(key="toy", title="Toy", family="sd1", path="toy")
    with pytest.raises(UserError) as caught:
        runs.new_job(studio, good["name"], good["trigger"], "style", base, good["pictures"], TrainSettings())
    assert caught.value.what == what and not studio.runs.exists()


def finished(studio, seconds, steps, **settings):
    folder = studio.runs / runs.new_id(studio.runs)
    folder.mkdir(parents=True)
    runs.Run(folder).files.write_job(job(studio, **settings))
    done = events.Done(lora="x", sha256="x", steps=steps, seconds=seconds)
    (folder / "events.jsonl").write_text(f"{events.to_line(events.Started(steps))}\n{events.to_line(done)}\n")


def test_the_expected_time_comes_from_runs_like_it_on_this_computer(studio):
    base = job(studio).base
    assert estimate(studio, TrainSettings(), base) is None
    finished(studio, seconds=210, steps=100, batch_size=2)
    assert estimate(studio, TrainSettings(batch_size=2, steps=200), base) == pytest.approx((10 + 400) / 60)
    assert estimate(studio, TrainSettings(batch_size=2, resolution=1024), base) is None


def test_for_the_starter_there_is_an_estimate_before_the_first_run(studio):
    starter = bases.find(studio, "starter")
    assert 0.2 < estimate(studio, TrainSettings(steps=200, batch_size=16), starter) < 5
