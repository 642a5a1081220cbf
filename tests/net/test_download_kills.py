"""A download that is killed at any act upon the disk, again and again, comes whole and fetches nothing twice."""

import os

import pytest

from lora_gui import files
from lora_gui.net.download import download
from lora_gui.protocol import events
from tests.net.conftest import NEEDED, PINNED, REPO, repository

FILES = repository(40_000)
SIZE = sum(len(FILES[name]) for name in NEEDED)


def killed(job, at):
    """Whether a process of its own that fetches it was ended, without a word, at its act number `at`."""
    pid = os.fork()
    if pid == 0:
        acts = iter(range(at))
        files.about_to = lambda *_: None if next(acts, None) is not None else os._exit(9)
        ended = list(download(job))[-1]
        os._exit(0 if isinstance(ended, events.Done) else 1)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, 9)
    return code == 9


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked here")
def test_nothing_that_was_fetched_is_lost_wherever_a_kill_falls(hub, job, tmp_path, tell):
    row = tell("Kills of a download at an act upon the disk, after which it went on")
    hub.add(REPO, FILES, PINNED)
    kills = 0
    while killed(job, (1, 2, 1, 5)[kills % 4]):
        kills += 1
        assert kills < 500
    there = tmp_path / "bases" / "sd15"
    assert all((there / name).read_bytes() == FILES[name] for name in NEEDED)
    assert hub.sent("GET .*(resolve|cdn)") == SIZE, "something was fetched twice"
    row.add(kills, kills)
    assert kills >= 15
