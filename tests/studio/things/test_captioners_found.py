"""Captioners that are found: in the studio, in the hub's cache, by name; and what is said of those that are not."""

import json

import pytest
import torch
from safetensors.torch import save_file

from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import captioners


def put(folder, model_type="blip"):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    save_file({"a": torch.zeros(3)}, folder / "model.safetensors")
    return folder


@pytest.fixture
def studio(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    return Studio(tmp_path / "studio")


def test_they_are_found_in_the_studio_and_in_the_cache_and_each_once(studio, tmp_path):
    own = put(studio.captioners / "blip-large")
    put(studio.captioners / ".blip-base.download")  # still on its way
    put(studio.captioners / "mine", "clip")
    cached = put(tmp_path / "hub" / "models--Qwen--Qwen2-VL-2B-Instruct" / "snapshots" / "abc", "qwen2_vl")
    put(tmp_path / "hub" / "models--Salesforce--blip-image-captioning-large" / "snapshots" / "abc")
    put(tmp_path / "hub" / "models--somebody--else" / "snapshots" / "abc", "bert")
    found = {one.title: one.path for one in captioners.here(studio)}
    assert found == {"BLIP large": own, "Qwen2-VL 2B": cached, "mine": studio.captioners / "mine"}
    assert [one.key for one in captioners.missing(studio)][:2] == ["blip-base", "florence-2-base"]
    assert captioners.find(studio, "blip").path == captioners.find(studio, "blip-large").path == own
    assert captioners.find(studio, "qwen").path == cached
    assert captioners.find(studio, "interrogator").title == "mine"


def test_one_that_is_not_here_says_what_it_takes_to_have_it(studio):
    with pytest.raises(UserError) as refused:
        captioners.find(studio, "florence")
    assert "about 0.5 GB, MIT" in refused.value.remedy and "captioners download florence-2-base" in refused.value.remedy
    with pytest.raises(UserError, match="Did you mean 'florence'"):
        captioners.find(studio, "florense")
    with pytest.raises(UserError, match="There is no folder"):
        captioners.find(studio, "/nowhere/at/all")


def test_a_folder_that_is_named_says_what_is_wrong_with_it(studio, tmp_path):
    assert captioners.find(studio, str(put(tmp_path / "there"))).title == "there"
    with pytest.raises(UserError, match="no captioner that is known"):
        captioners.find(studio, str(put(tmp_path / "other", "bert")))


def test_the_home_of_nobody_is_no_folder(studio):
    for ask in (captioners.named, lambda path: captioners.find(studio, path)):
        with pytest.raises(UserError, match="~nobody-of-this-name"):
            ask("~nobody-of-this-name/x")
