"""Bases on this disk: found, opened, or refused with what is missing."""

import json
import os
import shutil

import pytest

from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import bases, presets
from tests.studio.things.base_folders import make, weights


@pytest.fixture
def studio(tmp_path):
    return Studio(tmp_path / "a studio")


def test_the_starter_is_first_and_folders_of_the_studio_follow(studio):
    make(studio.bases / "my base")
    make(studio.bases / "sd15")
    make(studio.bases / "starter")
    (studio.bases / "no base").mkdir()
    found = bases.list_bases(studio)
    assert [base.key for base in found] == ["starter", "my base", "sd15"]
    assert [base.title for base in found][1:] == ["my base", "Stable Diffusion 1.5"]
    assert bases.ships_with_the_app(found[0]) and bases.size(found[0]) > 0


def test_a_base_is_found_by_key_or_by_the_path_of_its_folder(studio, tmp_path):
    folder = make(tmp_path / "elsewhere")
    assert bases.find(studio, "starter").family == "sd1"
    assert bases.find(studio, str(folder)).path == str(folder)


def test_the_steps_of_a_base_are_for_drawing(studio):
    starter = bases.find(studio, "starter")
    assert bases.draw_defaults(starter)["width"] == 128 and "steps" in bases.draw_defaults(starter)
    training = bases.train_defaults(starter)
    assert training["resolution"] == 128 and training["precision"] == "fp32" and "steps" not in training


def refused(studio, name) -> UserError:
    with pytest.raises(UserError) as caught:
        bases.find(studio, str(name))
    return caught.value


def test_a_folder_that_is_no_base_is_refused_with_what_is_missing(studio, tmp_path):
    (tmp_path / "empty").mkdir()
    assert refused(studio, tmp_path / "empty").what == "The folder empty is not a base: it has no model_index.json."
    assert (
        refused(studio, tmp_path / "empty").remedy
        == "Choose a whole diffusers folder: one with model_index.json and all its parts."
    )
    for damaged in ("{", "[]", "{}", '{"_class_name": "X", "unet": []}'):
        (tmp_path / "empty" / "model_index.json").write_text(damaged)
        assert (
            "not known" in refused(studio, tmp_path / "empty").what
            or "damaged" in refused(studio, tmp_path / "empty").what
        )


def test_a_base_with_a_part_missing_is_refused_by_the_part(studio, tmp_path):
    folder = make(tmp_path / "half")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    assert refused(studio, folder).what == "The base half is not whole: unet has no weights."
    (folder / "unet" / "model.bin").write_bytes(b"\x80\x02")
    assert refused(studio, folder).what == "The part unet of half is in an old format that can carry programs."
    shutil.rmtree(folder / "unet")
    assert refused(studio, folder).what == "The base half is not whole: its folder unet is missing."


def test_a_file_is_no_base_and_an_old_format_is_not_opened(studio, tmp_path):
    for name, word in (("model.ckpt", "can carry programs"), ("notes.txt", "is not the folder of a base")):
        (tmp_path / name).write_bytes(b"x")
        assert word in refused(studio, tmp_path / name).what


def test_a_base_of_an_unknown_build_is_refused_by_name(studio, tmp_path):
    folder = make(tmp_path / "odd", pipeline={"_class_name": "NoSuchPipeline"})
    assert "'NoSuchPipeline'" in refused(studio, folder).what


def test_a_wrong_name_names_the_nearest_and_a_known_base_says_how_to_get_it(studio):
    assert refused(studio, "startr").remedy == "Did you mean 'starter'?"
    error = refused(studio, "sd15")
    assert error.what == "Stable Diffusion 1.5 is not on this computer." and "stable-diffusion-v1-5" in error.remedy


def test_a_shard_that_its_index_names_and_that_is_not_there_is_named(studio):
    folder = make(studio.bases / "large", "flux1-dev") / "transformer"
    (folder / "diffusion_pytorch_model.safetensors").unlink()
    weights(folder / "model.safetensors")
    shards = {"a": "model.safetensors", "b": "model-2.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    with pytest.raises(UserError, match="large is not whole: model-2.safetensors of its transformer is missing"):
        bases.find(studio, "large")


PART = {"_class_name": "StableDiffusionPipeline"}
ODD_INDEXES = (
    "[1]", "null", '"words"', "[" * 200_000, '{"_class_name": ' * 200_000, '{"_class_name": 5}', "\xff",
    json.dumps(PART | {"unet": ["diffusers"]}), json.dumps(PART | {"unet": ["diffusers", "X", "Y"]}),
    json.dumps(PART | {"unet": ["diffusers", 5]}), json.dumps(PART | {"unet": ["diffusers", None]}),
    json.dumps(PART | {"x" * 300: ["diffusers", "X"]}), json.dumps(PART | {"../unet": ["diffusers", "X"]}),
    json.dumps(PART | {"": ["diffusers", "X"]}), json.dumps({"_class_name": "X" * 100_000}), " " * 2_000_000 + "{}",
)  # fmt: skip


@pytest.mark.parametrize("text", ODD_INDEXES, ids=range(len(ODD_INDEXES)))
def test_an_odd_index_is_a_sentence_and_hides_no_other_base(studio, text):
    make(studio.bases / "good")
    (make(studio.bases / "a odd one") / "model_index.json").write_text(text, encoding="latin-1")
    assert [base.key for base in bases.list_bases(studio)] == ["starter", "good"]
    assert refused(studio, "a odd one").what == "The model_index.json in a odd one is damaged."
    ((path, why),) = bases.passed_over(studio)
    assert path == studio.bases / "a odd one" and why.what == refused(studio, "a odd one").what


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes in folders")
def test_pipes_devices_and_links_without_an_end_hang_nobody(studio):
    good = make(studio.bases / "good")
    for kind in ("pipe", "device", "itself", "nothing"):
        index = make(studio.bases / kind) / "model_index.json"
        index.unlink()
        if kind == "pipe":
            os.mkfifo(index)
        else:
            index.symlink_to({"device": "/dev/zero", "itself": index, "nothing": "/nowhere"}[kind])
    shards = make(studio.bases / "shards") / "unet" / "model.safetensors.index.json"
    os.mkfifo(shards)
    os.mkfifo(studio.bases / "pipe.safetensors")
    (studio.bases / "loop.safetensors").symlink_to(studio.bases / "loop.safetensors")
    assert [base.key for base in bases.list_bases(studio)] == ["starter", "good"]
    assert {path.name for path, _ in bases.passed_over(studio)} >= {"pipe", "device", "itself", "nothing", "shards"}
    os.mkfifo(good / "unet" / "more.safetensors")
    (good / "unet" / "gone.safetensors").symlink_to("/nowhere")
    found = bases.find(studio, "good")
    assert bases.networks(found)["unet"] == 4 and bases.size(found) > 0
    (good / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    assert "unet has no weights" in refused(studio, "good").what


@pytest.mark.parametrize("name", ["x" * 300, "~nobody-of-that-name", "nul\0", "", ".", "a/" * 3000])
def test_a_name_that_no_disk_takes_is_a_sentence(studio, name):
    make(studio.bases / "good")
    with pytest.raises(UserError):
        bases.find(studio, name)


def test_two_bases_of_one_name_are_told_apart_by_a_sentence(studio):
    make(studio.bases / "starter")
    assert [base.key for base in bases.list_bases(studio)] == ["starter"]
    ((path, why),) = bases.passed_over(studio)
    assert path.name == "starter" and why.remedy == "Give starter another name."


@pytest.mark.skipif(os.name != "posix", reason="names are text on Windows")
def test_a_base_or_preset_whose_name_no_page_can_hold_is_passed_over_with_a_sentence(studio):
    make(studio.bases / os.fsdecode(b"bad\xff"))
    studio.presets.mkdir()
    (studio.presets / os.fsdecode(b"odd\xff.toml")).write_text("", encoding="utf-8")
    found = [str(found) for found in (bases.both(studio), presets.presets(studio))]
    assert "The name of bad? is not in UTF-8." in found[0] and "Its file has no name in UTF-8" in found[1]
    for one in (*presets.presets(studio).values(), *bases.list_bases(studio)):
        json.dumps([one.key, one.title], ensure_ascii=False).encode("utf-8")
