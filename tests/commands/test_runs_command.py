"""Runs on the command line: who pauses holds the queue, and who resumes lets it go on."""

import pytest

from lora_gui import __main__ as cli
from lora_gui.commands import runs as commands
from lora_gui.studio.paths import HOME, Studio
from lora_gui.studio.tasks import process, queue, runs
from lora_gui.studio.tasks.run import is_queue_held
from tests.studio.tasks.test_runs import UNRULY, job, wait_until


@pytest.fixture
def studio(tmp_path, monkeypatch):
    monkeypatch.setenv(HOME, str(tmp_path / "studio"))
    monkeypatch.setattr(process, "COMMAND", UNRULY)
    found = Studio.default()
    yield found
    for run in runs.all_runs(found):
        if beat := run.beat():
            process.kill(beat[0])


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
