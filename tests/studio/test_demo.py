"""The demonstration: the whole way on a tiny base, and the picture it leaves."""

import json

import pytest
from PIL import Image

from lora_gui.errors import UserError
from lora_gui.studio import demo
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import runs
from lora_gui.studio.things import bases, pictures
from tests import tiny

QUICK = """
[all]
steps = 2
rank = 2
alpha = 2
learning_rate = 0.1
resolution = 64
batch_size = 2
warmup_steps = 0
"""


@pytest.fixture
def studio(tmp_path, monkeypatch):
    monkeypatch.setattr(bases, "SHIPPED", tiny.stable_diffusion_1(tmp_path / "tiny"))
    monkeypatch.setattr(demo, "PROMPTS", demo.PROMPTS[:2])
    found = Studio(tmp_path / "studio")
    found.presets.mkdir(parents=True)
    (found.presets / "style.toml").write_text(QUICK)  # a preset of the user's replaces ours
    return found


def test_the_demo_trains_draws_and_leaves_a_picture_and_its_figures(studio, tmp_path):
    said = []
    shown = demo.demo(studio, tmp_path / "out", said.append)
    assert shown.keys() == {"lora", "before_after", "seconds"} and said
    with Image.open(shown["before_after"]) as grid:
        assert grid.format == "PNG" and min(grid.size) > 2 * demo.CELL
    figures = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert figures["steps"] == 2 and len(figures["changed"]) == 2 and min(figures["changed"]) > 0
    assert len(list((tmp_path / "out" / "drawings").iterdir())) == 4
    assert runs.latest(studio).status().lora == shown["lora"]


def test_without_the_starter_or_its_pictures_the_demo_says_so(studio, tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "EXAMPLES", tmp_path / "gone")
    with pytest.raises(UserError, match="example pictures did not come"):
        demo.demo(studio, tmp_path, print)
    monkeypatch.setattr(bases, "SHIPPED", tmp_path / "gone")
    with pytest.raises(UserError, match="did not come with this copy"):
        demo.demo(studio, tmp_path, print)


def test_the_difference_of_two_drawings_is_their_mean_distance():
    black, white = (Image.new("RGB", (8, 8), colour) for colour in ("black", "white"))
    assert demo.difference(black, white) == 1 and demo.difference(white, white) == 0


def test_the_prompts_are_none_of_the_example_pictures():
    captions = {picture.read_text() for picture in (pictures.EXAMPLES / "style").glob("[0-9]*.txt")}
    subjects = {caption.partition(" on ")[0] for caption in captions}
    assert len(captions) == 24 and not subjects & {prompt.partition(" on ")[0] for prompt in demo.PROMPTS}
