"""Hashes by which other programs know a base and a LoRA."""

import hashlib

import numpy as np
from safetensors.numpy import save_file

from lora_gui.engine.draw import hashes
from lora_gui.formats.header import read_header
from lora_gui.protocol.jobs import Base
from tests.tiny import outcome


def lora(path, **metadata):
    layer = "lora_unet_down_blocks_0_attentions_0_to_q"
    halves = {f"{layer}.lora_down.weight": np.ones((2, 8)), f"{layer}.lora_up.weight": np.ones((8, 2))}
    save_file({key: half.astype(np.float16) for key, half in halves.items()}, path, {"a": "b"} | metadata)
    return path


def after_the_header(path):
    data = path.read_bytes()
    return hashlib.sha256(data[8 + int.from_bytes(data[:8], "little") :]).hexdigest()


def test_the_hash_of_a_lora_is_what_it_says_or_that_of_its_tensors_and_never_that_of_nothing(tmp_path):
    silent = lora(tmp_path / "a.safetensors")
    assert hashes.of_lora(silent, read_header(silent)) == after_the_header(silent)
    wrong = lora(tmp_path / "b.safetensors", sshs_model_hash=hashlib.sha256(b"").hexdigest())
    assert hashes.of_lora(wrong, read_header(wrong)) == after_the_header(wrong)
    says = lora(tmp_path / "c.safetensors", sshs_model_hash="f" * 64)
    assert hashes.of_lora(says, read_header(says)) == "f" * 64


def test_the_hash_of_a_base_of_one_file_is_read_once_for_each_state_of_the_file(tmp_path):
    path = tmp_path / "base.safetensors"
    path.write_bytes(b"weights")
    base = Base(key="b", title="Mine", family="sd1", path=str(path))
    first, said = outcome(hashes.of_base(base, str(tmp_path / "cache")))
    assert first == hashlib.sha256(b"weights").hexdigest() and len(said) == 1
    assert outcome(hashes.of_base(base, str(tmp_path / "cache"))) == (first, [])
    path.write_bytes(b"others!!")
    second, said = outcome(hashes.of_base(base, str(tmp_path / "cache")))
    assert second == hashlib.sha256(b"others!!").hexdigest() and len(said) == 1
    folder = base.model_copy(update={"path": str(tmp_path)})
    assert outcome(hashes.of_base(folder, str(tmp_path / "cache"))) == ("", [])
