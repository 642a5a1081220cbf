"""The training child is killed at random moments, and with its parent while it publishes; the bits stay the same."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests import forkserver

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows cannot fork")


def matrix(tell, kills, every):
    """What `tests/bench/kill_matrix.py` finds; it forks, because so many starts of a worker would take minutes."""
    command = forkserver.command("tests/bench/kill_matrix.py", "--kills", str(kills), "--every", str(every))
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    found = {title: row for line in ended.stdout.splitlines() for title, row in json.loads(line).items()}
    for title, row in found.items():
        tell(title).add(row["tried"], row["held"])
    return found


def test_a_run_that_is_killed_twelve_times_ends_with_the_file_of_an_undisturbed_one(tell):
    found = matrix(tell, kills=12, every=9)
    assert len(found) == 3 and found["killed at random moments"]["runs"] == 1


@pytest.mark.soak
def test_five_hundred_deaths_and_one_at_every_act_of_publishing_change_nothing(tell):
    matrix(tell, kills=500, every=1)
