"""A studio of its own for each test."""

import pytest

from lora_gui.studio.paths import Studio


@pytest.fixture
def studio(tmp_path):
    found = Studio(tmp_path / "studio")
    found.loras.mkdir(parents=True)
    return found
