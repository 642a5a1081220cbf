"""Grids, strengths that travel and two LoRAs compared: drawn by the real child with the starter, as small as can be."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from lora_gui.errors import UserError
from lora_gui.settings import DrawSettings, StackEntry
from lora_gui.studio import again
from lora_gui.studio.stacks import axes, compare, grid
from lora_gui.studio.stacks.axes import Axis
from lora_gui.studio.stacks.grid import Cell, Grid
from lora_gui.studio.things import bases


def settings(studio, *names, **values):
    stack = tuple(StackEntry(lora=str(studio.loras / f"{name}.safetensors"), strength=0.8) for name in names)
    quick = {"prompt": "a red fox", "width": 64, "height": 64, "steps": 1, "guidance": 1.0, "seed": 1}
    return DrawSettings(stack=stack, **(quick | values))


def last(drawer, planned, is_stopped=lambda now: False):
    seen = [planned]
    for now in grid.draw(drawer, planned, lambda: is_stopped(seen[-1])):
        seen.append(now)
    return seen[-1]


def pixels(path):
    return np.array(Image.open(path))


@pytest.mark.soak
def test_a_grid_of_200_stopped_at_57_keeps_57_and_each_can_be_drawn_again(studio, drawer):
    base = bases.find(studio, "starter")
    rows = axes.read(f"seed:{','.join(map(str, range(20)))}")
    columns = Axis("guidance", tuple(map(str, range(1, 11))))
    planned = grid.plan(studio, base, settings(studio, "ink"), rows, columns)
    done = last(drawer, planned, lambda now: len(now.drawn) >= 57)
    assert done.stopped and len(done.drawn) == 57 and len(done.cells) == 200
    told = json.loads((done.folder / grid.RECORD).read_text())
    assert told["drawn"] == 57 and told["stopped"] and sum(bool(cell["drawing"]) for cell in told["cells"]) == 57
    assert len(list(done.folder.glob("*-0.png"))) == 57 and not list(done.folder.glob("*preview*"))
    cell = done.drawn[30]
    found = again.read(studio, cell.drawing)
    assert (found.settings.seed, found.settings.guidance) == (cell.settings.seed, cell.settings.guidance) == (3, 1)
    one = last(drawer, grid.plan(studio, base, found.settings))
    assert np.array_equal(pixels(one.drawn[0].drawing), pixels(cell.drawing))
    sheet = Image.open(done.sheet)
    assert "A grid by rows: seed 0, 1" in sheet.text["parameters"] and sheet.width > 640


def test_whoever_closes_a_grid_while_it_draws_can_remove_its_folder(studio, drawer):
    planned = grid.plan(studio, bases.find(studio, "starter"), settings(studio, steps=30))
    drawing = grid.draw(drawer, planned, lambda: False)
    next(now for now in drawing if now.step[0])
    drawing.close()
    assert not drawer.waiting() and not list(planned.folder.glob("*preview*"))


def test_rows_and_columns_change_what_they_say(studio):
    base, asked = bases.find(studio, "starter"), settings(studio, "ink")
    planned = grid.plan(studio, base, asked, axes.read("lora:none,ink,owl"), axes.read("words:red fox|blue, tall owl"))
    told = [([entry.lora[-15:-12] for entry in cell.settings.stack], cell.settings.prompt) for cell in planned.cells]
    words = "a red fox", "a blue, tall owl"
    assert told == [(stack, prompt) for stack in ([], ["ink"], ["owl"]) for prompt in words]
    planned = grid.plan(studio, base, asked, axes.read("lora:none,owl"), axes.read("strength:0.3"))
    assert [[entry.strength for entry in cell.settings.stack] for cell in planned.cells] == [[], [0.3]]
    planned = grid.plan(studio, base, asked, axes.read("sampler:Euler,Heun"), axes.read("strength:0,1.5"))
    told = [(cell.settings.sampler, cell.settings.stack[0].strength) for cell in planned.cells]
    assert told == [("Euler", 0.0), ("Euler", 1.5), ("Heun", 0.0), ("Heun", 1.5)]


def test_a_strength_travels_over_stations_as_a_strip_and_one_that_moves(studio, drawer):
    base = bases.find(studio, "starter")
    done = last(drawer, grid.plan(studio, base, settings(studio, "ink"), columns=grid.travel(3, 0.0, 1.5)))
    plain = last(drawer, grid.plan(studio, base, settings(studio)))
    first, middle, end = (pixels(cell.drawing) for cell in done.drawn)
    assert done.columns.values == ("0", "0.75", "1.5")
    assert np.array_equal(first, pixels(plain.drawn[0].drawing)) and not np.array_equal(middle, end)
    assert not np.array_equal(first, middle)
    with Image.open(grid.animate(done)) as moving:
        assert moving.format == "WEBP" and moving.n_frames > 1 and moving.size == (64, 64)


def test_two_loras_are_drawn_alone_and_together(studio, drawer):
    base = bases.find(studio, "starter")
    done = last(drawer, compare.plan(studio, base, settings(studio, "ink", "owl")))
    assert done.columns.values == ("base", "ink", "owl", "ink + owl") and len(done.drawn) == 4
    assert all(one.sentence.endswith(".") and np.isfinite(one.pixels) for one in compare.kept(done))
    assert json.loads((done.folder / grid.RECORD).read_text())["kind"] == "compare"
    one = compare.plan(studio, base, settings(studio, "ink"))
    assert one.columns.values == ("base", "ink") and [len(cell.settings.stack) for cell in one.cells] == [0, 1]
    three = compare.plan(studio, base, settings(studio, "ink", "owl", "ink"))
    assert [len(cell.settings.stack) for cell in three.cells] == [0, 1, 1, 1, 3]
    with pytest.raises(UserError, match="There is no LoRA"):
        compare.plan(studio, base, settings(studio))


def written(folder, *pictures):
    """A comparison whose four drawings are given as values."""
    cells = []
    for n, values in enumerate(pictures):
        path = folder / f"{n}.png"
        Image.fromarray(np.clip(values, 0, 255).round().astype(np.uint8)).save(path)
        cells.append(Cell(0, n, DrawSettings(), path))
    names = ("base", "ink", "owl", "cat")[: len(pictures) - 1]
    return Grid(None, grid.ONE, Axis("stack", (*names, " + ".join(names[1:]))), folder, tuple(cells))


def test_what_is_kept_is_the_share_of_each_change_that_is_there_together(tmp_path):
    random = np.random.default_rng(1)
    one, two = (40 * np.kron(random.normal(size=(8, 8, 3)), np.ones((8, 8, 1))) for _ in range(2))
    base = np.full((64, 64, 3), 128.0)
    one, two = np.clip(one, -60, 60), np.clip(two, -60, 60)
    ink, owl = compare.kept(written(tmp_path, base, base + one, base + two, base + 0.95 * one + 0.1 * two))
    assert ink.pixels == pytest.approx(0.95, abs=0.03) and owl.coarse == pytest.approx(0.1, abs=0.03)
    assert ink.sentence == "ink is there nearly as it is alone." and owl.sentence == "owl is lost."
    three = random.choice((-30.0, 30.0), size=(64, 64, 1)) * np.ones(3)
    together = base + 0.5 * one + 0.3 * two + three
    kept = compare.kept(written(tmp_path, base, base + one, base + two, base + three, together))
    assert [one.pixels for one in kept] == pytest.approx([0.5, 0.3, 1.0], abs=0.03)
    assert compare.kept(written(tmp_path, base, base + one)) == ()
    assert "almost nothing" in compare.kept(written(tmp_path, base, base, base + two, base + two))[0].sentence


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("colour:1,2", "no axis"), ("strength", "no values"), ("seed: ,", "no values"), ("seed:1,1", "twice"),
        ("strength:loud", "not a number"),
        ("steps:0", "Steps"), ("strength:9", "Strength"), ("words:cat|dog", "not in the prompt"),
        ("lora:nobody", "no LoRA"), ("checkpoint:100", "Which run"), ("sampler:Magic", "Sampler"),
        (f"seed:{','.join(map(str, range(500)))}", "500 values"),
    ],
)  # fmt: skip
def test_an_axis_that_cannot_be_is_a_sentence_before_anything_is_drawn(studio, text, words):
    with pytest.raises(UserError) as caught:
        grid.plan(studio, bases.find(studio, "starter"), settings(studio, "ink"), columns=axes.read(text))
    assert re.search(words, caught.value.what) and caught.value.remedy[-1] in ".?"


def test_both_sides_cannot_change_the_same(studio):
    base, axis = bases.find(studio, "starter"), axes.read("seed:1,2")
    with pytest.raises(UserError, match="both change seed"):
        grid.plan(studio, base, settings(studio), axis, axis)
    many = axes.read(f"steps:{','.join(map(str, range(1, 100)))}")
    with pytest.raises(UserError, match="990 drawings"):
        grid.plan(studio, base, settings(studio), many, axes.read("seed:1,2,3,4,5,6,7,8,9,10"))
