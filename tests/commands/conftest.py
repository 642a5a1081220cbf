"""A studio of its own whose children are unruly ones, ended with the test."""

import pytest

from lora_gui.studio.paths import HOME, Studio
from lora_gui.studio.tasks import process, runs
from tests.studio.tasks.test_runs import UNRULY


@pytest.fixture
def studio(tmp_path, monkeypatch):
    monkeypatch.setenv(HOME, str(tmp_path / "studio"))
    monkeypatch.setattr(process, "COMMAND", UNRULY)
    found = Studio.default()
    yield found
    for run in runs.all_runs(found):
        if beat := run.beat():
            process.kill(beat[0])
