"""A captioner that was taught, for all that has pictures described."""

import pytest

from lora_gui.formats import captioners
from tests import tiny_captioners


@pytest.fixture(scope="session")
def taught(tmp_path_factory):
    return captioners.told(tiny_captioners.taught(tmp_path_factory.mktemp("taught")), "BLIP")
