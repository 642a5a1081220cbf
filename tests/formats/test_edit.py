"""Metadata edited in the file: tensors byte for byte, hashes true, the old file or the new one."""

import errno
import hashlib
import io
import json
import struct

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.formats import edit
from lora_gui.formats.header import read_header
from tests.formats.test_header import LAYER, raw, tensors


def large() -> dict[str, np.ndarray]:
    """Beyond the 64 KiB at 1 MiB that the older hash is taken of."""
    rng = np.random.default_rng(0)
    return {
        f"{LAYER}.lora_down.weight": rng.normal(size=(16, 40_000)).astype(np.float16),
        f"{LAYER}.lora_up.weight": rng.normal(size=(8, 16)).astype(np.float16),
    }


def kohya_hashes(given: dict[str, np.ndarray], fields: dict[str, str]) -> tuple[str, str]:
    """As kohya-ss/sd-scripts, library/train_util.py, precalculate_safetensors_hashes has it."""
    file = io.BytesIO(save(given, {key: text for key, text in fields.items() if key.startswith("ss_")}))
    length = int.from_bytes(file.read(8), "little")
    file.seek(8 + length)
    model = hashlib.sha256(file.read()).hexdigest()
    file.seek(0x100000)
    return model, hashlib.sha256(file.read(0x10000)).hexdigest()[:8]


def after_the_header(data: bytes) -> bytes:
    return data[8 + struct.unpack("<Q", data[:8])[0] :]


def test_an_edited_file_keeps_every_byte_of_its_tensors_and_its_hashes_are_those_of_kohya(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(save(large(), {"ss_steps": "3", "sshs_legacy_hash": "stale", "sshs_model_hash": "stale"}))
    before = after_the_header(path.read_bytes())
    edit.edit(path, {"modelspec.title": "Füchse {x} \U0001f98a", "ss_output_name": "foxes", "ss_steps": None})
    after, fields = path.read_bytes(), edit.metadata(path)
    assert after_the_header(after) == before and (len(after) - len(before)) % 8 == 0
    assert fields["modelspec.title"] == "Füchse {x} \U0001f98a" and "ss_steps" not in fields
    assert (fields["sshs_model_hash"], fields["sshs_legacy_hash"]) == kohya_hashes(large(), fields)
    assert fields["modelspec.hash_sha256"] == "0x" + hashlib.sha256(before).hexdigest()
    with safe_open(path, "np") as other:  # the library of others reads the same
        assert other.metadata() == fields
    assert all(np.array_equal(load_file(path)[name], tensor) for name, tensor in large().items())


def test_what_is_not_changed_stays_whole_however_long_it_is_and_a_copy_leaves_the_file_alone(tmp_path):
    path, copy = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    path.write_bytes(save(tensors(), {"modelspec.thumbnail": "data:image/jpeg;base64," + "A" * 50_000, "theirs": "1"}))
    before = path.read_bytes()
    edit.edit(path, {"theirs": ""}, to=copy)
    assert path.read_bytes() == before
    fields = edit.metadata(copy)
    assert len(fields["modelspec.thumbnail"]) > 50_000 and "theirs" not in fields and "sshs_legacy_hash" not in fields


def test_the_same_edit_twice_is_the_same_file(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(save(tensors(), {"b": "1", "a": "2"}))
    edit.edit(path, {"modelspec.title": "Fox"})
    once = path.read_bytes()
    edit.edit(path, {"modelspec.title": "Fox"})
    assert path.read_bytes() == once


@pytest.mark.parametrize("cut", [1, 200])
def test_a_damaged_file_is_refused_and_left_as_it_is(tmp_path, cut):
    path = tmp_path / "a.safetensors"
    path.write_bytes(save(tensors(), {})[:-cut])
    before = path.read_bytes()
    with pytest.raises(UserError):
        edit.edit(path, {"modelspec.title": "Fox"})
    assert path.read_bytes() == before and [*tmp_path.iterdir()] == [path]


def test_a_file_that_changes_while_it_is_read_is_left_as_the_other_program_made_it(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    path.write_bytes(save(large(), {}))
    write = files.write_chunks

    def meanwhile(target, chunks, private=False):
        with open(path, "r+b") as other:
            other.seek(-2, 2)
            other.write(b"\x12\x34")
        write(target, chunks, private)

    monkeypatch.setattr(files, "write_chunks", meanwhile)
    with pytest.raises(UserError, match="changed by another program"):
        edit.edit(path, {"modelspec.title": "Fox"})
    assert "modelspec.title" not in edit.metadata(path) and [*tmp_path.iterdir()] == [path]


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    path.write_bytes(save(large(), {}))
    before, acts = path.read_bytes(), []

    def about_to(act, _):
        acts.append(act)
        if act == "write" and acts.count("write") == 2:
            raise OSError(errno.ENOSPC, "refused by the test")

    monkeypatch.setattr(files, "about_to", about_to)
    with pytest.raises(UserError, match="could not be saved"):
        edit.edit(path, {"modelspec.title": "Fox"})
    monkeypatch.undo()
    assert path.read_bytes() == before and [*tmp_path.iterdir()] == [path]


def test_more_than_a_header_holds_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(save(tensors(), {}))
    with pytest.raises(UserError, match="too much"):
        edit.edit(path, {"modelspec.thumbnail": "A" * 8_000_000})
    assert read_header(path).rank == 4


def test_half_letters_are_replaced_in_texts_and_refused_in_names_of_tensors(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(save(tensors(), {}))
    edit.edit(path, {"modelspec.title": "half \ud800"})
    assert edit.metadata(path)["modelspec.title"] == "half ?"
    down = {"dtype": "F16", "shape": [1, 2], "data_offsets": [0, 4]}
    up = {"dtype": "F16", "shape": [2, 1], "data_offsets": [4, 8]}
    odd = {f"{LAYER}\ud800.lora_{half}.weight": one for half, one in (("down", down), ("up", up))}
    path.write_bytes(raw(json.dumps(odd).encode(), bytes(8)))
    with pytest.raises(UserError, match="damaged"):
        edit.edit(path, {"modelspec.title": "Fox"})


def test_of_a_link_the_file_that_it_leads_to_is_changed(tmp_path):
    path, link = tmp_path / "a.safetensors", tmp_path / "link.safetensors"
    path.write_bytes(save(tensors(), {}))
    try:
        link.symlink_to(path)
    except OSError:
        pytest.skip("this drive knows no links")
    edit.edit(link, {"modelspec.title": "Fox"})
    assert link.is_symlink() and edit.metadata(path)["modelspec.title"] == "Fox"
