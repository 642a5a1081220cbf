"""Drawing on the command line with the real child: what it takes, what it says, and the same drawing made again."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lora_gui import __main__ as cli
from lora_gui import files
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import inputs, wildcards
from tests import tiny

QUICK = ("--set", "steps=4", "--set", "guidance=4")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny.stable_diffusion_1(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def studio(tmp_path, monkeypatch):
    monkeypatch.setenv("LORA_GUI_HOME", str(tmp_path / "studio"))
    return Studio.default()


@pytest.fixture
def draw(capsys, base, studio):
    def run(*arguments):
        code = cli.main(["draw", "--base", str(base), *QUICK, *arguments, "--json"])
        return code, json.loads(capsys.readouterr().out.splitlines()[-1])

    return run


def test_a_picture_is_filled_in_with_choices_by_the_seed_and_the_file_makes_the_same_again(draw, studio, tmp_path):
    Image.radial_gradient("L").resize((72, 64)).save(tmp_path / "own.jpg")
    Image.new("L", (144, 128), 255).save(tmp_path / "mask.png")
    files.write_text(wildcards.folder(studio) / "colours.txt", "red\nblue\n")
    code, told = draw(
        "--prompt", "a (__colours__:1.2) {cat|dog}", "--picture", str(tmp_path / "own.jpg"), "--mask",
        str(tmp_path / "mask.png"), "--sampler", "dpm++ 2m", "--set", "schedule=karras", "--set",
        "size=72x64", "--seed", "9", "--count", "2",
    )  # fmt: skip
    assert code == 0 and told["seeds"] == [9, 10], told
    assert told["notes"] == ["The mask of 144 x 128 was stretched over the picture of 72 x 64."]
    first = Image.open(told["drawings"][0])
    assert first.size == (72, 64)
    record = json.loads(first.info["lora_studio"])["settings"]
    assert record["prompt"] in {f"a ({one}:1.2) {two}" for one in ("red", "blue") for two in ("cat", "dog")}
    assert record["sampler"] == "DPM++ 2M" and str(tmp_path) not in first.info["lora_studio"]
    again = record | {name: inputs.found(studio, record[name]) for name in ("picture", "mask")}
    again.pop("stack")
    pairs = [part for name, value in again.items() if name != "prompt" for part in ("--set", f"{name}={value}")]
    code, told = draw("--prompt", record["prompt"], *pairs)
    assert code == 0 and np.array_equal(np.array(Image.open(told["drawings"][0])), np.array(first))


def test_what_a_drawing_cannot_be_is_said_before_anything_is_loaded(draw, tmp_path):
    for wrong, error in (
        (("--ratio", "7:5"), "There is no ratio '7:5'."),
        (("--mask", __file__), "A mask needs a picture to lie over."),
        (("--picture", __file__), f"{Path(__file__).name} is "),
        (("--sampler", "Eule"), "Sampler must be "),
        (("--sampler", "Euler a", "--set", "schedule=karras"), "Euler a does not take the noise schedule Karras"),
        (("--set", "seeds=up"), "Seeds of several must be "),
        (("--set", "denoising=2"), "Denoising strength can be at most 1."),
    ):
        code, told = draw("--prompt", "x", *wrong)
        assert code == 1 and told["error"].startswith(error), told
    code, told = draw("--prompt", "__nowhere__")
    assert code == 1 and "no list called nowhere" in told["error"]


@pytest.mark.skipif(os.name == "nt", reason="Windows lets only some users make links")
def test_links_in_a_circle_are_a_sentence(draw, tmp_path):
    for name, to in (("a", "b"), ("b", "a")):
        (tmp_path / name).symlink_to(tmp_path / to)
    for option in ("--picture", "--mask", "--out"):
        code, told = draw("--prompt", "x", option, str(tmp_path / "a"))
        assert code == 1 and told["error"] and told["remedy"], option


def test_stations_without_end_are_refused_before_they_are_counted(studio, base, capsys):
    line = ["travel", "--prompt", "x", "--base", str(base), "--set", "count=3"]
    assert cli.main([*line, "--stations", "2000000000"]) == 1
    said = capsys.readouterr().err
    assert "This grid has 2000000000 drawings." in said and "Each cell is drawn once: count is left out." in said
