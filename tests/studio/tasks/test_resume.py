"""Pause, resume, stop and extend a run from its folder alone; with a child that does as it is asked."""

import subprocess
import sys

import psutil
import pytest

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.protocol import events
from lora_gui.protocol.task_folder import Reached
from lora_gui.settings import TrainSettings
from lora_gui.studio.capacity import gpu
from lora_gui.studio.library import shelf
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import process, retries, runs
from tests import making
from tests.studio.tasks.test_runs import UNRULY, at_once, job, wait_until


@pytest.fixture
def studio(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "COMMAND", UNRULY)
    found = Studio(tmp_path / "studio")
    yield found
    for run in runs.all_runs(found):  # a test that failed may leave a child
        run.stop()


def ended(studio, *said, name="calm", steps=100):
    """A run whose child is long gone, with these last words and a checkpoint of step 3."""
    folder = studio.runs / runs.new_id(studio.runs)
    kept = folder / "checkpoints" / "ckpt-000003"
    kept.mkdir(parents=True)
    (kept / "MANIFEST.json").write_text("{}")
    (kept / "adapter.safetensors").write_bytes(b"lora")
    runs.Run(folder).files.write_job(job(studio, name, steps=steps))
    lines = [events.to_line(event) + "\n" for event in (events.Started(steps), *said)]
    (folder / "events.jsonl").write_text("".join(lines))
    files.write_json(folder / "child.json", {"start": "", "in": True})
    return runs.Run(folder)


def test_a_paused_run_resumes_in_its_folder_and_stops(studio):
    run = runs.start(studio, job(studio))
    wait_until(lambda: run.status().state == "running")
    run.pause()
    assert list(run.wait())[-1] == events.Paused(3)
    assert (run.status().state, run.status().step, runs.running(studio)) == ("paused", 3, None)
    again = runs.resume(studio, run)
    wait_until(lambda: again.status().state == "running")
    assert again.status().first == 3 and runs.Run(run.folder).status().state == "running"
    again.stop()
    assert list(runs.Run(run.folder).wait()) == [events.Started(100, 3), events.Stopped(3)]
    assert [one.folder for one in runs.all_runs(studio)] == [run.folder]


@pytest.mark.parametrize("last", [events.Failed("It broke.", "Try again."), events.Stopped(3), events.Paused(3)])
def test_whatever_ended_a_run_early_it_can_go_on(studio, last):
    run = ended(studio, last)
    with open(run.folder / "events.jsonl", "a") as file:
        file.write('{"event": "Step", "st')  # a crash can leave half a line
    runs.resume(studio, run)
    wait_until(lambda: run.status().state == "running")
    assert (run.status().what, run.status().first) == ("", 3)
    run.stop()


def test_a_child_that_does_not_come_back_is_noticed(studio):
    run = ended(studio, events.Paused(3), name="dies")
    runs.resume(studio, run)
    wait_until(lambda: run.status().state == "failed")
    assert runs.running(studio) is None


def test_resuming_twice_at_once_starts_one_child(studio):
    run = ended(studio, events.Paused(3))
    _, refused = at_once(3, lambda: runs.resume(studio, runs.Run(run.folder)))
    assert [error.what for error in refused] == ["A training is already running."] * 2
    run.stop()
    list(run.wait())
    assert (run.folder / "events.jsonl").read_text().count("Resumed") == 1


def test_stopping_a_paused_run_starts_its_child_to_save_what_it_has(studio):
    run = ended(studio, events.Paused(3))
    runs.stop(studio, run)
    assert run.files.asked() == "stop"  # it does not look as if it learnt further
    assert list(run.wait())[-1] == events.Stopped(3, "/published.safetensors", "ab")
    assert run.status().state == "stopped"


def test_a_finished_run_is_extended_and_remembers_where_it_had_ended(studio):
    run = ended(studio, events.Done("/x.safetensors", "ab", 50, 9.0), steps=50)
    with pytest.raises(UserError, match="is finished"):
        runs.resume(studio, run)
    with pytest.raises(UserError, match="50 steps already"):
        runs.resume(studio, run, steps=50)
    runs.resume(studio, run, steps=70)
    assert (run.job.settings.steps, run.job.extended_at) == (70, (50,))
    run.stop()


def test_while_a_run_goes_on_its_lora_is_known_as_made_here_still(studio):
    studio.loras.mkdir(parents=True)
    lora = making.lora(studio, "fox")
    run = ended(studio, events.Done(str(lora), "ab", 50, 9.0), steps=50)
    runs.resume(studio, run, steps=70)
    assert [card.run for card in shelf.shelf(studio).cards] == [run.folder.name]
    run.stop()


def test_a_run_that_was_stopped_once_paused_says_of_how_many_steps(studio):
    run = ended(studio, events.Paused(3), events.Resumed(), events.Stopped(3, "/x.safetensors", "ab"))
    run.files.write_result(events.Stopped(3, "/x.safetensors", "ab"), Reached(0, 0, 0))  # by a child that only saved
    assert (run.summary().step, run.summary().of) == (3, 100)


def test_only_a_finished_run_is_extended(studio):
    with pytest.raises(UserError, match="Only a run that is finished"):
        runs.resume(studio, ended(studio, events.Paused(3)), steps=200)


def test_a_run_whose_order_was_changed_on_the_disk_does_not_go_on(studio):
    run = ended(studio, events.Paused(3))
    files.write_json(run.folder / "child.json", {"pid": 1, "started": 1, "job": "0" * 64})
    with pytest.raises(UserError, match="was changed on the disk"):
        runs.resume(studio, run)


def test_a_run_is_found_by_folder_and_by_the_name_of_its_lora(studio):
    run = ended(studio, events.Paused(3), name="fox")
    for name in (run.folder.name, str(run.folder), "Fox"):
        assert runs.find(studio, name).folder == run.folder
    with pytest.raises(UserError, match="no run 'wolf'"):
        runs.find(studio, "wolf")


def test_on_a_card_blocks_wait_in_ram_before_pictures_are_made_smaller(monkeypatch):
    monkeypatch.setattr(gpu, "memory", lambda: 12.0)
    settings, given_up = TrainSettings(gradient_checkpointing="blocks", batch_size=1, resolution=1024), []
    while change := retries.less_memory(settings):
        given_up.append(change)
        settings = settings.model_copy(update=change)
    blocks = [{"streamed_blocks": n} for n in (8, 16, 32, 64)]
    assert given_up[:6] == [{"gradient_checkpointing": "blocks_in_ram"}, *blocks, {"resolution": 768}]
    said = ["Now with save memory by recomputing all blocks, kept in RAM.", "Now with blocks in RAM 8."]
    assert [retries.in_words(one) for one in given_up[:2]] == said


def test_on_a_mac_nothing_waits_in_ram(monkeypatch):
    monkeypatch.setattr(gpu, "card", lambda: gpu.Card(12.0, unified=True))
    settings = TrainSettings(gradient_checkpointing="blocks", batch_size=1, resolution=1024)
    assert retries.less_memory(settings) == {"resolution": 768}


def test_less_memory_gives_up_time_first_then_pictures_at_once_then_size(monkeypatch):
    monkeypatch.setattr(gpu, "memory", lambda: 0.0)
    settings, given_up = TrainSettings(batch_size=3, resolution=512), []
    while change := retries.less_memory(settings):
        given_up.append(change)
        settings = settings.model_copy(update=change)
    assert given_up == [
        {"gradient_checkpointing": "blocks"}, {"batch_size": 1, "accumulation": 3}, {"resolution": 384},
        {"resolution": 256},
    ]  # fmt: skip
    assert retries.in_words(given_up[1]) == "Now with batch size 1, accumulation 3."


def test_a_window_that_is_killed_leaves_its_run_going_on(studio, tell):
    script = (
        "import sys; from lora_gui.studio.tasks import process, runs; from lora_gui.studio.paths import Studio\n"
        "from lora_gui.protocol.jobs import TrainJob; from pathlib import Path\n"
        f"process.COMMAND = {UNRULY!r}\n"
        "runs.start(Studio(Path(sys.argv[1])), TrainJob.model_validate_json(sys.argv[2]))\n"
        "print('started', flush=True); sys.stdin.read()"
    )
    arguments = [sys.executable, "-c", script, str(studio.home), job(studio).model_dump_json()]
    windows = [
        subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=process.ROOT
        )
        for _ in range(3)
    ]
    said = []
    for window in windows:
        assert window.stdout
        said.append(window.stdout.readline())
    for window in windows:
        psutil.Process(window.pid).kill() if window.poll() is None else None
        window.communicate()
    tell("Starters at once, all killed", len(windows))
    run = runs.latest(studio)
    assert run and sorted(said) == [b"", b"", b"started\n"] and len(runs.all_runs(studio)) == 1
    wait_until(lambda: run.status().state == "running")
    assert run.lives()
    run.stop()
    assert list(run.wait())[-1] == events.Stopped(3)


def test_a_run_that_broke_is_retried_with_a_lower_rate_for_everything_that_learns(studio):
    broke = job(studio)
    rates = {"learning_rate": 1e-3, "train_text_encoder": True, "text_encoder_learning_rate": 3e-4}
    told = broke.model_copy(update={"settings": broke.settings.model_copy(update=rates)})
    change = retries.changes(told, "diverged")
    assert change == {"learning_rate": 3e-4, "text_encoder_learning_rate": 1e-4}
    assert retries.in_words(change) == "Now with learning rate 0.0003, text encoder's learning rate 0.0001."
    plain = broke.model_copy(update={"settings": broke.settings.model_copy(update={"learning_rate": 1e-3})})
    assert retries.changes(plain, "diverged") == {"learning_rate": 3e-4}
