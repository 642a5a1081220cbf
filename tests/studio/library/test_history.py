"""The history of drawings."""

import pytest
from PIL import Image

from lora_gui.errors import UserError
from lora_gui.formats import png
from lora_gui.studio.library import bin, history
from lora_gui.studio.paths import Studio

FOX = 'a red fox <lora:ink, wide:0.8>\nNegative prompt: rain\nSteps: 9, Seed: 7, Model: "Base, the second", Version: x'
OWL = "an owl\nSteps: 9, Seed: 12, Model: Starter, Version: x"


@pytest.fixture
def studio(tmp_path):
    studio = Studio(tmp_path)
    for name, record in {"2026-01-01/a.png": FOX, "2026-01-02/b.png": OWL, "2026-01-02/c.png": ""}.items():
        path = studio.drawings / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png.encode(Image.new("RGB", (8, 8)), record))
    (studio.drawings / "2026-01-02" / "b-preview.png").write_bytes(b"")
    (studio.drawings / "2026-01-02" / "photo.PNG").write_bytes(b"")  # none of ours
    return studio


def test_every_drawing_is_told_with_how_it_was_made_the_newest_first(studio):
    found, left = history.history(studio)
    assert [one.name for one in found] == ["2026-01-02/c.png", "2026-01-02/b.png", "2026-01-01/a.png"] and left == 0
    fox = found[-1]
    assert (fox.prompt, fox.loras, fox.base, fox.seed, fox.day) == (
        "a red fox", (("ink, wide", "0.8"),), "Base, the second", "7", "2026-01-01",
    )  # fmt: skip
    assert history.history(studio, seconds=0) == (found, 0), "what was read once is known"


@pytest.mark.parametrize(
    ("words", "names"), [("RED ink", ["a"]), ("starter", ["b"]), ("12", ["b"]), ("rain", []), ("", ["c", "b", "a"])]
)
def test_words_are_looked_for_in_prompts_loras_bases_and_seeds(studio, words, names):
    assert [one.name[11:-4] for one in history.wanted(history.history(studio)[0], words)] == names


def test_a_star_is_given_and_taken(studio):
    assert history.star(studio, "2026-01-01/a.png")
    assert [one.name for one in history.wanted(history.history(studio)[0], "", star=True)] == ["2026-01-01/a.png"]
    assert not history.star(studio, "2026-01-01/a.png") and history.starred(studio) == set()
    (studio.drawings / history.STARS).write_text("{")
    assert history.starred(studio) == set()


def test_a_deleted_drawing_comes_back_where_it_was_and_is_gone_when_the_bin_is_emptied(studio):
    whole = (studio.drawings / "2026-01-01/a.png").read_bytes()
    binned = history.delete(studio, "2026-01-01/a.png")
    (studio.bin / binned / ".DS_Store").touch()  # somebody has looked
    assert len(history.history(studio)[0]) == 2 and bin.size(studio) == len(whole) and bin.binned(studio) == []
    assert history.restore(studio, binned) == "2026-01-01/a.png"
    assert (studio.drawings / "2026-01-01/a.png").read_bytes() == whole and bin.size(studio) == 0
    binned = history.delete(studio, "2026-01-01/a.png")
    bin.empty(studio)
    with pytest.raises(UserError, match="not in the bin"):
        history.restore(studio, binned)


@pytest.mark.parametrize("name", ["", "../a.png", "2026-01-01/../../x.png", "2026-01-01/none.png", "2026-01-01/.a.png"])
def test_what_is_no_drawing_is_a_sentence(studio, name):
    for act in (history.star, history.delete, history.place):
        with pytest.raises(UserError, match="not there any more"):
            act(studio, name)
    with pytest.raises(UserError):
        history.restore(studio, name)
