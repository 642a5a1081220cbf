"""What is ordered of a drawing, before any child is told, and how it is told."""

import json
import os

import pytest
from pydantic import ValidationError

from lora_gui import families, files
from lora_gui.errors import UserError
from lora_gui.protocol import events
from lora_gui.protocol.jobs import Base, ConvertJob
from lora_gui.settings import DrawSettings
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import process
from lora_gui.studio.tasks.order import prepared, shots
from lora_gui.studio.things import wildcards


def base(family):
    return Base(key="b", title="My base", family=family, path="b")


@pytest.mark.parametrize("family", families.facts())
def test_a_size_between_two_steps_of_the_family_is_refused_with_both(family, tmp_path):
    step = families.facts_of(family).size_step
    settings = DrawSettings(width=1024, height=512)
    assert prepared(Studio(tmp_path), base(family), settings) == (settings, [])
    if step > 8:
        with pytest.raises(UserError) as caught:
            prepared(Studio(tmp_path), base(family), DrawSettings(width=1032, height=512))
        assert caught.value.what == f"My base draws in steps of {step} pixels, and not in a width of 1032."
        assert caught.value.remedy == f"Choose a width of 1024 or {1024 + step}."


def test_both_sides_are_named_and_no_size_of_0(tmp_path):
    with pytest.raises(UserError, match="Choose a width of 128 and a height of 256 or 384.") as caught:
        prepared(Studio(tmp_path), base("wuerstchen"), DrawSettings(width=64, height=264))
    assert "a width of 64 and a height of 264" in caught.value.what


def test_seed_minus_1_is_a_new_one_each_time_and_is_said(tmp_path):
    found = [prepared(Studio(tmp_path), base("sd1"), DrawSettings(seed=-1)) for _ in range(4)]
    assert len({settings.seed for settings, _ in found}) > 1
    for settings, notes in found:
        assert 0 <= settings.seed < 2**32 and notes == [f"The new seed is {settings.seed}."]


def test_seeds_walk_stay_or_are_new_and_a_variation_walks_in_place_of_the_seed(tmp_path):
    def seeds(**more):
        settings = DrawSettings(count=3, seed=7, **more)
        return [(one.seed, one.variation_seed) for one in shots(Studio(tmp_path), settings)]

    assert seeds() == [(7, 1), (8, 1), (9, 1)]
    assert seeds(seeds="fixed") == [(7, 1)] * 3
    assert seeds(variation=0.3, variation_seed=2**64 - 1) == [(7, 2**64 - 1), (7, 0), (7, 1)]
    new = seeds(seeds="random")
    assert new[0] == (7, 1) and len({seed for seed, _ in new}) == 3
    assert DrawSettings(seed=2**64 - 1, count=2).count == 2
    assert [one.seed for one in shots(Studio(tmp_path), DrawSettings(seed=2**64 - 1, count=2))] == [2**64 - 1, 0]


def test_a_choice_in_a_prompt_follows_from_the_seed_of_its_drawing_alone(tmp_path):
    prompt = "a {" + "|".join(map(str, range(50))) + "}"
    three = shots(Studio(tmp_path), DrawSettings(prompt=prompt, negative_prompt=prompt, count=3, seed=7))
    (second,) = shots(Studio(tmp_path), DrawSettings(prompt=prompt, seed=8))
    assert three[1].prompt == second.prompt and len({one.prompt for one in three}) > 1
    assert all(one.count == 1 for one in three)
    fixed = shots(Studio(tmp_path), DrawSettings(prompt=prompt, count=8, seed=7, seeds="fixed"))
    assert len({one.prompt for one in fixed}) > 1


@pytest.mark.parametrize("name", ["prompt", "negative_prompt"])
def test_a_list_that_puts_a_lora_into_a_prompt_is_refused_and_never_read_as_words(name, tmp_path):
    studio = Studio(tmp_path)
    files.write_text(wildcards.folder(studio) / "w.txt", "<lora:one:1> red\n")
    with pytest.raises(UserError, match="'<lora:one:1>' stands in a list"):
        shots(studio, DrawSettings(**{name: "a frog __w__"}))


def test_what_a_family_cannot_do_is_said_before_it_is_loaded(tmp_path):
    def refused(family, **more):
        with pytest.raises(UserError) as caught:
            prepared(Studio(tmp_path), base(family), DrawSettings(width=1024, height=1024, **more))
        return caught.value

    assert "draws from words alone" in refused("wuerstchen", picture="a.png").what
    assert "draws from words alone" in refused("wuerstchen", upscale=2).what
    assert refused("flux1", sampler="DDIM").setting == "sampler"
    assert refused("sd1", sampler="Euler a", schedule="Karras").setting == "schedule"
    _, notes = prepared(Studio(tmp_path), base("sdxl"), DrawSettings(width=1024, height=1024, clip_skip=2))
    assert notes == ["Clip skip does nothing with this base."]


def test_a_line_to_the_child_that_draws_carries_a_path_whose_bytes_are_no_letters():
    path = os.fsdecode(b"/tmp/studio \xff")
    line = process.to_line({"folder": path, "prompt": "ein Fuchs, größer"})
    assert line.count(b"\n") == 1 and json.loads(line) == {"folder": path, "prompt": "ein Fuchs, größer"}


def test_jobs_and_events_carry_a_path_whose_bytes_are_no_letters_there_and_back(tmp_path):
    path = os.fsdecode(b"/tmp/st\xfcdio \xff/gr\xc3\xb6\xc3\x9fer")
    job = ConvertJob(file=path, to="kohya", out=path)
    said = job.model_dump_json()
    assert ConvertJob.model_validate_json(said.encode()) == job and "größer" in said
    done = events.Done(lora=path)
    assert events.from_line(events.to_line(done).encode().decode()) == done
    files.write_json(tmp_path / "a.json", [path])
    assert files.read_json(tmp_path / "a.json") == [path]
    with pytest.raises(ValidationError):
        ConvertJob.model_validate_json('{"file":')


def test_a_child_is_not_told_to_leave_out_what_its_libraries_need(monkeypatch):
    monkeypatch.setenv("PYTHONOPTIMIZE", "2")
    assert "PYTHONOPTIMIZE" not in process._environment("train", 1).keys() | process._environment("download", 1).keys()
