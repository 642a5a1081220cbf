"""Hashes by which other programs know a base."""

import hashlib

from lora_gui.engine.draw import hashes
from lora_gui.protocol.jobs import Base
from tests.tiny import outcome


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
