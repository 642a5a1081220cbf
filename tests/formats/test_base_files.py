"""The files of a base's network: one variant, whole, and nothing hidden."""

import json

import pytest

from lora_gui.errors import UserError
from lora_gui.formats import base_files

NAME = "diffusion_pytorch_model"


def made(folder, *names, index=None):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"x")
    if index:
        name, shards = index
        (folder / name).write_text(json.dumps({"weight_map": {f"w{n}": shard for n, shard in enumerate(shards)}}))
    return folder


SHARDS = [f"{NAME}-0000{n}-of-00002.safetensors" for n in (1, 2)]
INDEX = (f"{NAME}.safetensors.index.json", SHARDS)


@pytest.mark.parametrize(
    ("there", "index", "taken", "variant"),
    [
        ([f"{NAME}.safetensors", f"{NAME}.fp16.safetensors", f"{NAME}.non_ema.safetensors"], None,
         [f"{NAME}.safetensors"], ""),
        ([*SHARDS, f"{NAME}.non_ema.safetensors"], INDEX, SHARDS, ""),
        ([*SHARDS, f"{NAME}.safetensors", f"._{NAME}.safetensors"], INDEX, SHARDS, ""),
        ([*SHARDS, f"{NAME}.non_ema.safetensors"], None, SHARDS, ""),
        ([SHARDS[0], f"{NAME}.safetensors"], None, [f"{NAME}.safetensors"], ""),
        ([f"{NAME}.fp16.safetensors", f"{NAME}.non_ema.safetensors", f"._{NAME}.safetensors"], None,
         [f"{NAME}.fp16.safetensors"], "fp16"),
        ([f"{NAME}.fp16-00001-of-00001.safetensors"], None, [f"{NAME}.fp16-00001-of-00001.safetensors"], "fp16"),
        ([f"{NAME}-00001-of-00001.fp16.safetensors"],
         (f"{NAME}.safetensors.index.fp16.json", [f"{NAME}-00001-of-00001.fp16.safetensors"]),
         [f"{NAME}-00001-of-00001.fp16.safetensors"], "fp16"),
        ([f"{NAME}.non_ema.safetensors"], None, [f"{NAME}.non_ema.safetensors"], "non_ema"),
        ([f"{NAME}.fp16.safetensors", "pytorch_lora_weights.safetensors"], None,
         [f"{NAME}.fp16.safetensors"], "fp16"),
        (["Model.SAFETENSORS"], None, ["Model.SAFETENSORS"], ""),
        (["model.safetensors", "open_clip_model.safetensors"], None, ["model.safetensors"], ""),
    ],
)  # fmt: skip
def test_one_variant_of_the_weights_is_taken_and_nothing_hidden(tmp_path, there, index, taken, variant):
    found = base_files.weights(made(tmp_path / "unet", *there, index=index))
    assert ([path.name for path in found.files], found.variant) == (taken, variant)


def test_what_is_missing_of_shards_is_named(tmp_path):
    with pytest.raises(UserError, match="not whole: .*00002-of-00002.safetensors of its unet is missing"):
        base_files.weights(made(tmp_path / "unet", SHARDS[0], index=INDEX))
    with pytest.raises(UserError, match="a file of 2"):
        base_files.weights(made(tmp_path / "other", SHARDS[0]))


@pytest.mark.parametrize("said", ["{", "[]", '{"weight_map": []}', '{"weight_map": {"a": "../b"}}', "[" * 200_000])
def test_a_damaged_index_is_a_sentence(tmp_path, said):
    folder = made(tmp_path / "unet", f"{NAME}.safetensors")
    (folder / INDEX[0]).write_text(said)
    with pytest.raises(UserError, match="index.json in unet is damaged"):
        base_files.weights(folder)


def test_nothing_is_no_weights(tmp_path):
    assert base_files.weights(tmp_path / "nowhere") is None
    assert base_files.weights(made(tmp_path / "unet", "._model.safetensors", "config.json")) is None
