"""Runs on the command line: who pauses holds the queue, and who resumes lets it go on."""

import json
import os
from pathlib import Path

import pytest

from lora_gui import __main__ as cli
from lora_gui import files
from lora_gui.commands import runs as commands
from lora_gui.errors import UserError
from lora_gui.protocol import events
from lora_gui.protocol.task_folder import ADAPTER
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import queue, runs
from lora_gui.studio.tasks.run import is_queue_held
from tests.studio.tasks.test_runs import job, wait_until


def test_a_pause_holds_those_that_wait_and_a_resume_lets_them_go_on(studio, monkeypatch, capsys):
    monkeypatch.setattr(commands, "followed", lambda studio, run: {})
    first, second = (queue.add(studio, job(studio, name)) for name in ("one", "two"))
    wait_until(lambda: first.status().state == "running")
    assert cli.main(["resume", "one"]) == 0
    for change in (["--steps", "900"], ["--less-memory"], ["--processes", "2"]):
        assert cli.main(["resume", "one", *change]) == 1
        assert "nothing of it is changed meanwhile" in capsys.readouterr().err
    assert cli.main(["pause", "one"]) == 0 and is_queue_held(studio.runs)
    assert cli.main(["resume", "two"]) == 1 and is_queue_held(studio.runs)
    assert "This run waits for its turn." in capsys.readouterr().err
    assert cli.main(["resume", "one"]) == 0 and not is_queue_held(studio.runs)
    capsys.readouterr()
    assert cli.main(["queue"]) == 0 and "held" not in capsys.readouterr().out
    first.stop()
    wait_until(lambda: not first.lives())
    assert queue.advance(studio).folder == second.folder


def test_a_run_that_waits_is_neither_paused_nor_stopped_nor_deleted_and_is_taken_out_of_the_queue(studio, capsys):
    first, waits = (queue.add(studio, job(studio, name)) for name in ("one", "two"))
    wait_until(lambda: first.status().state == "running")
    for line in (["stop", "two"], ["stop", "two", "--force"], ["pause", "two"], ["delete-run", "two"]):
        assert cli.main(line) == 1
        said = capsys.readouterr().err
        assert "This run waits for its turn." in said and f"queue remove {waits.folder.name}" in said
    assert waits.status().state == "waiting" and not is_queue_held(studio.runs) and not waits.files.asked()
    assert cli.main(["queue", "remove", "two"]) == 0 and not waits.folder.exists()


def ended(studio, last, **settings):
    """A run with a checkpoint that has ended."""
    run = runs.make(studio, job(studio, **settings))
    files.write_json(run.files.checkpoint(3) / "MANIFEST.json", {ADAPTER: {}, "state.json": {}})
    run.files.events.write_text("".join(f"{events.to_line(one)}\n" for one in (events.Started(5), last)))
    return run


def test_to_stop_by_force_what_does_not_live_is_to_stop_it(studio, capsys):
    paused = ended(studio, events.Paused(3))
    assert cli.main(["stop", str(paused.folder), "--force", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["lora"] == str(Path("/published.safetensors"))
    finished = ended(studio, events.Done("x", "x", 5, 1.0))
    assert cli.main(["stop", str(finished.folder), "--force"]) == 1 and not finished.files.asked()
    assert "has ended already" in capsys.readouterr().err


def test_a_finished_run_goes_on_with_more_steps_and_less_memory(studio, monkeypatch):
    monkeypatch.setattr(commands, "followed", lambda studio, run: {})
    run = ended(studio, events.Done("x", "x", 5, 1.0), steps=5)
    assert cli.main(["resume", run.folder.name, "--steps", "9", "--less-memory"]) == 0
    assert (run.job.settings.steps, run.job.settings.gradient_checkpointing) == (9, "blocks")


@pytest.mark.skipif(os.name == "nt", reason="Windows lets only some users make links")
def test_a_run_is_found_by_its_folder_however_that_is_written(studio, tmp_path, monkeypatch):
    (tmp_path / "linked").symlink_to(studio.home)
    linked, run = Studio(tmp_path / "linked"), runs.make(studio, job(studio))
    inside = linked.runs / run.folder.name
    monkeypatch.chdir(inside)
    for name in (inside, f"{inside}/", run.folder, f"{run.folder}/", ".", f"../{run.folder.name}/"):
        for home in (linked, studio):
            assert runs.find(home, str(name)).folder.name == run.folder.name
    with pytest.raises(UserError):
        runs.find(studio, "")
