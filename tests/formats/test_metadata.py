"""The header fields of a LoRA file, and its hashes."""

import hashlib
import json
import struct

import numpy as np
from safetensors.numpy import load, save, save_file

from lora_gui.formats.header import read_header
from lora_gui.formats.metadata import lora_metadata, weights_hash, with_hashes
from lora_gui.protocol.jobs import Base, TrainJob, TrainPicture
from lora_gui.settings import TrainSettings
from tests.formats.test_header import FACTS, tensors


def job(tmp_path) -> TrainJob:
    return TrainJob(
        name="my-style",
        trigger="zxy_style",
        preset="style",
        settings=TrainSettings(rank=8, alpha=4),
        base=Base(key="b", title="A base", family="toy", path=str(tmp_path)),
        publish_to=str(tmp_path),
        pictures=(TrainPicture(path=str(tmp_path / "secret.png"), caption="my private caption"),),
    )


def test_the_header_fields_are_text_and_hold_no_path_and_no_caption(tmp_path):
    fields = lora_metadata(job(tmp_path), FACTS, steps=120)
    assert all(isinstance(value, str) for value in fields.values())
    assert {
        "ss_v2",
        "ss_base_model_version",
        "ss_network_module",
        "ss_network_dim",
        "ss_network_alpha",
        "ss_network_args",
    } <= fields.keys()
    assert (fields["ss_network_dim"], fields["ss_network_alpha"], fields["ss_steps"]) == ("8", "4.0", "120")
    assert fields["modelspec.sai_model_spec"] == "1.0.1" and fields["modelspec.trigger_phrase"] == "zxy_style"
    assert json.loads(fields["ss_tag_frequency"]) == {"1_zxy_style": {"zxy_style": 1}}  # where A1111 and Forge look
    text = json.dumps(fields)
    assert "secret" not in text and "private" not in text and str(tmp_path) not in text


def test_hashes_are_added_without_touching_a_tensor(tmp_path):
    before = save(tensors(), {"ss_steps": "3"})
    after = with_hashes(before)
    path = tmp_path / "a.safetensors"
    path.write_bytes(after)
    fields = read_header(path).metadata
    start = 8 + struct.unpack("<Q", after[:8])[0]
    assert fields["sshs_model_hash"] == hashlib.sha256(after[start:]).hexdigest()
    assert fields["modelspec.hash_sha256"] == "0x" + fields["sshs_model_hash"] and fields["ss_steps"] == "3"
    assert start % 8 == 0
    loaded = load(after)
    assert all(np.array_equal(loaded[name], tensor) for name, tensor in tensors().items())


def small(path, **metadata):
    layer = "lora_unet_down_blocks_0_attentions_0_to_q"
    halves = {f"{layer}.lora_down.weight": np.ones((2, 8)), f"{layer}.lora_up.weight": np.ones((8, 2))}
    save_file({key: half.astype(np.float16) for key, half in halves.items()}, path, {"a": "b"} | metadata)
    return path


def after_the_header(path):
    data = path.read_bytes()
    return hashlib.sha256(data[8 + int.from_bytes(data[:8], "little") :]).hexdigest()


def test_the_hash_of_a_lora_is_what_it_says_or_that_of_its_tensors_and_never_that_of_nothing(tmp_path):
    silent = small(tmp_path / "a.safetensors")
    assert weights_hash(silent, read_header(silent)) == after_the_header(silent)
    wrong = small(tmp_path / "b.safetensors", sshs_model_hash=hashlib.sha256(b"").hexdigest())
    assert weights_hash(wrong, read_header(wrong)) == after_the_header(wrong)
    says = small(tmp_path / "c.safetensors", sshs_model_hash="f" * 64)
    assert weights_hash(says, read_header(says)) == "f" * 64
