"""What the folder of a captioner is, by its own files alone."""

import json

import pytest
import torch
from safetensors.torch import save_file

from lora_gui.errors import UserError
from lora_gui.formats import captioners
from lora_gui.formats.captioners import KINDS, KNOWN, told


def folder(tmp_path, model_type="blip", weights=True, **config):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type} | config))
    if weights:
        save_file({"a": torch.zeros(300)}, tmp_path / "model.safetensors")
    return tmp_path


@pytest.mark.parametrize(("model_type", "kind"), [(type_, one.key) for one in KINDS.values() for type_ in one.types])
def test_the_kind_is_told_by_the_folders_own_configuration(tmp_path, model_type, kind):
    found = told(folder(tmp_path, model_type))
    assert (found.kind, found.path) == (kind, tmp_path) and found.size > 1200


def test_a_tagger_is_told_by_its_two_files(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"12345")
    (tmp_path / "selected_tags.csv").write_text("tag_id,name,category,count")
    assert told(tmp_path, "WD") == captioners.Captioner("tagger", tmp_path, "WD", 5)


@pytest.mark.parametrize("config", ['{"model_type": "bert"}', "[]", "not json", '{"model_type": ["blip"]}', "[" * 9999])
def test_a_folder_that_is_no_captioner_is_a_sentence(tmp_path, config):
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(UserError, match="is no captioner that is known here"):
        told(tmp_path)


def test_weights_in_a_format_that_can_hide_programs_are_not_opened(tmp_path):
    (folder(tmp_path, weights=False) / "pytorch_model.bin").write_bytes(b"\x80\x04evil")
    with pytest.raises(UserError, match="can hide programs"):
        told(tmp_path)


def test_missing_and_truncated_weights_are_told_apart(tmp_path):
    with pytest.raises(UserError, match="has no weights"):
        told(folder(tmp_path, weights=False))
    whole = (folder(tmp_path) / "model.safetensors").read_bytes()
    for size in (0, 7, 20, len(whole) - 1):
        (tmp_path / "model.safetensors").write_bytes(whole[:size])
        with pytest.raises(UserError, match="not whole"):
            told(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-00001-of-00002.safetensors"}}')
    with pytest.raises(UserError, match="not whole"):
        told(tmp_path)


def test_florence_with_code_of_its_own_is_refused_with_the_one_that_needs_none(tmp_path):
    with pytest.raises(UserError, match="florence-community/Florence-2-base"):
        told(folder(tmp_path, "florence2", auto_map={"AutoConfig": "x.Y"}))


def test_every_known_one_is_of_a_kind_and_says_its_licence_and_size():
    for key, one in KNOWN.items():
        assert key == one.key and one.kind in KINDS and one.licence and one.size_gb > 0 and one.good_at.endswith(".")
    assert {one.kind for one in KNOWN.values()} == set(KINDS)
