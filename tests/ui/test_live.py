"""Who looks when, the page's title, and what is said aloud."""

import json

import pytest

from lora_gui.studio.tasks.status import RunStatus
from lora_gui.ui.live import DRAWING, TRAINING, Standing


def told(*standing):
    return json.loads(Standing(*standing).to_json())


@pytest.mark.parametrize("state", ["paused", "stopped", "finished", "failed"])
def test_where_nothing_lives_no_page_looks_by_itself(state):
    assert told()["every"] == 0
    ended = told("foxes", RunStatus(state=state, step=20, of=20))
    assert ended["every"] == 0 and ended["tabs"] == [] and ended["title"] == "LoRA Studio"


def test_a_run_is_in_the_title_and_on_the_tabs_that_show_it():
    now = told("foxes", RunStatus(state="running", step=31, of=100))
    assert now["title"] == "31 % - foxes · LoRA Studio" and now["tabs"] == ["Train", "Runs"]
    assert now["every"] == TRAINING and told("foxes", RunStatus(state="running"), True)["every"] == DRAWING
    assert told("", None, True)["tabs"] == ["Generate"]


def test_changes_of_state_and_every_tenth_are_said_aloud_and_no_step_between():
    statuses = [RunStatus(state="queued"), RunStatus(state="running", of=200, phase="Encoding pictures")]
    statuses += [RunStatus(state="running", step=step, of=200) for step in range(1, 201)]
    statuses += [RunStatus(state="finished", step=200, of=200)]
    said = list(dict.fromkeys(told("foxes", status)["words"] for status in statuses))
    assert said[:3] == ["foxes is starting.", "foxes: Encoding pictures", "foxes: 0 percent"]
    assert said[-2:] == ["foxes: 100 percent", "foxes is ready."] and len(said) == 14
