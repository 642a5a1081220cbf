"""The cards of the learning path have their drawings, and every question mark leads to one."""

import re
from pathlib import Path

import pytest
from PIL import Image

import lora_gui
from lora_gui.ui import learning
from tests.bench.learning_cards import LARGEST, STRIPS

UI = Path(lora_gui.__file__).parent / "ui"


SHOWN = sorted({(name, labels) for *_, strips in learning.CARDS for name, labels, _ in strips})


@pytest.mark.parametrize(("name", "labels"), SHOWN)
def test_every_strip_is_there_small_and_has_as_many_drawings_as_labels(name, labels):
    path = learning.STRIPS / f"{name}.webp"
    assert path.stat().st_size <= LARGEST and len(STRIPS[name]) == len(labels)
    with Image.open(path) as strip:
        assert strip.size == (136 * len(labels) - 8, 128)


def test_every_question_mark_leads_to_a_card():
    asked = {key for path in UI.rglob("*.py") for key in re.findall(r'markup\.learn\("(\w+)"', path.read_text())}
    assert asked and asked <= {key for key, *_ in learning.CARDS}
