"""A known captioner fetched from a small Hub: what comes, what does not, and what is refused."""

import json

import pytest
import torch
from safetensors.torch import save

from lora_gui.errors import UserError
from lora_gui.formats import captioners
from lora_gui.formats.captioners import KNOWN
from lora_gui.net.download import download
from lora_gui.protocol.jobs import DownloadJob
from lora_gui.protocol.task_folder import ORIGIN

FILES = {
    "config.json": json.dumps({"model_type": "blip"}).encode(), "preprocessor_config.json": b"{}",
    "tokenizer.json": b"{}", "vocab.txt": b"a", "README.md": b"#", "model.safetensors": save({"a": torch.zeros(9)}),
    "pytorch_model.bin": b"\x80\x04", "tf_model.h5": b"h5", "modeling.py": b"evil", "onnx/model.onnx": b"1",
}  # fmt: skip


def fetch(key, into):
    return list(download(DownloadJob(base=key, of="captioner", into=str(into))))


def test_only_what_it_is_read_with_comes_and_it_is_a_captioner_then(hub, tmp_path):
    hub.add(KNOWN["blip-base"].repo, FILES)
    fetch("blip-base", tmp_path)
    folder = tmp_path / "blip-base"
    came = {path.name for path in folder.iterdir()} - {ORIGIN}
    assert came == {"config.json", "preprocessor_config.json", "tokenizer.json", "vocab.txt", "model.safetensors"}
    assert captioners.told(folder).kind == "blip"


def test_of_a_tagger_its_two_files_come(hub, tmp_path):
    there = {"model.onnx": b"onnx", "selected_tags.csv": b"name", "model.safetensors": b"1", "config.json": b"{}"}
    hub.add(KNOWN["wd-vit-v3"].repo, there)
    fetch("wd-vit-v3", tmp_path)
    assert {path.name for path in (tmp_path / "wd-vit-v3").iterdir()} - {ORIGIN} == {
        "model.onnx", "selected_tags.csv", "config.json"
    }  # fmt: skip


def test_one_without_safe_weights_is_not_fetched(hub, tmp_path):
    hub.add(KNOWN["blip-base"].repo, {name: data for name, data in FILES.items() if name != "model.safetensors"})
    with pytest.raises(UserError, match="no weights as .safetensors"):
        fetch("blip-base", tmp_path)
    with pytest.raises(UserError, match="No captioner that can be fetched"):
        fetch("sd15", tmp_path)
