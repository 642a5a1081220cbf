"""`queue run` on the command line: what ends it, and what it says of those that did not come to their last step."""

import json

from lora_gui import __main__ as cli
from lora_gui.commands import runs as commands
from lora_gui.protocol import events
from lora_gui.studio.tasks import queue
from tests.studio.tasks.test_runs import job, wait_until


def worked_off(capsys):
    code = cli.main(["queue", "run", "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_ctrl_c_stops_the_run_that_goes_on_and_begins_no_other(studio, monkeypatch, capsys):
    first, second = (queue.add(studio, job(studio, name)) for name in ("one", "two"))
    wait_until(lambda: first.status().state == "running")
    pressed = []

    def say(event):
        if isinstance(event, events.Started) and not pressed:
            pressed.append(event)
            raise KeyboardInterrupt

    monkeypatch.setattr(commands, "say", say)
    code, told = worked_off(capsys)
    assert code == 1 and "queue run" in told["remedy"]
    assert [one["run"] for one in told["ended"]] == [str(first.folder)]
    assert first.status().state == "stopped" and [one.folder for one in queue.waiting(studio)] == [second.folder]


def test_one_that_cannot_be_started_is_told_and_the_exit_code_says_so(studio, capsys):
    first, odd = (queue.add(studio, job(studio, name)) for name in ("one", "two"))
    wait_until(lambda: first.status().state == "running")
    odd.files.job.write_text("{")
    first.stop()
    code, told = worked_off(capsys)
    assert code == 1
    assert told["ended"][-1] == {"run": str(odd.folder), "error": f"The run {odd.folder.name} is damaged."}


def test_one_that_fails_lets_the_next_begin_and_the_exit_code_says_so(studio, capsys):
    ordered = [queue.add(studio, job(studio, name)) for name in ("one", "dies", "dies")]
    wait_until(lambda: ordered[0].status().state == "running")
    ordered[0].stop()  # as another window does
    code, told = worked_off(capsys)
    assert code == 1 and told["error"].endswith("trainings did not come to the last step.")
    assert [one["run"] for one in told["ended"]][-2:] == [str(run.folder) for run in ordered[1:]]
    assert queue.waiting(studio) == []
