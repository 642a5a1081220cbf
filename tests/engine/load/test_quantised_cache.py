"""Quantised networks on disk: a damaged one is made anew, one process writes at a time, and the oldest make room."""

import os
import subprocess
import time
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from lora_gui import files
from lora_gui.engine.load import quantised_cache, quantize
from tests import forkserver
from tests.engine.load import test_quantize
from tests.engine.load.test_quantize import PLACE, Model, load, original

weights = test_quantize.source  # the fixture: a folder of .safetensors files
ROOT = Path(__file__).parents[3]
LOAD = """
import sys, pathlib
from tests.engine.load.test_quantize import load
print("ready", flush=True)
load(pathlib.Path(sys.argv[1]), "int8")
"""


def kept_files(weights: Path) -> list[Path]:
    return sorted((weights.parent / "kept").glob("*/*"))


def damage(file: Path, how: str) -> None:
    data = file.read_bytes()
    if how == "absent":
        file.unlink()
    elif how == "empty":
        file.write_bytes(b"")
    elif how == "cut":
        file.write_bytes(data[: len(data) // 2])
    elif how == "foreign":
        file.write_bytes(b'{"a": 1}')
    else:
        file.write_bytes(data[:8] + b"\xff" + data[9:])


@pytest.mark.parametrize("how", ["absent", "empty", "cut", "foreign", "garbled"])
@pytest.mark.parametrize("number", [0, 1])
def test_a_damaged_kept_network_is_deleted_and_made_anew_and_told_of_once(weights, how, number):
    first, told = load(weights, "int8"), []
    damage(kept_files(weights)[number], how)
    again = [
        quantize.load(Model, weights, "int8", PLACE, weights.parent / "kept", tell=told.append).state_dict()
        for _ in range(2)
    ]
    assert len(told) == 1 and "made again" in told[0]
    for name, tensor in first.state_dict().items():
        assert torch.equal(again[0][name], tensor) and torch.equal(again[1][name], tensor), name


def test_a_kept_network_that_lacks_tensors_is_made_anew(weights):
    load(weights, "nf4")
    index = next(file for file in kept_files(weights) if file.name == "index.json")
    files.write_json(index, [])
    told: list[str] = []
    again = quantize.load(Model, weights, "nf4", PLACE, weights.parent / "kept", tell=told.append)
    assert len(told) == 1 and (again.first.weight == original(weights).first.weight).all()


def test_a_process_waits_while_another_fills_the_cache(weights):
    kept = weights.parent / "kept"
    kept.mkdir()
    with FileLock(kept / ".lock"):
        command = forkserver.command("-c", LOAD, str(weights))
        other = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert other.stdout.readline().strip() == "ready"
        time.sleep(1)
        assert other.poll() is None and not kept_files(weights)
    assert other.wait(60) == 0 and kept_files(weights)
    other.stdout.close()


def network(kept: Path, name: str, size: int, used: int) -> Path:
    folder = kept / name
    files.write_bytes(folder / "part-0000.safetensors", b"0" * size)
    files.write_json(folder / "index.json", ["part-0000.safetensors"])
    os.utime(folder / "index.json", (used, used))
    return folder


def test_the_networks_unused_for_longest_make_room_and_never_the_one_in_use(tmp_path):
    old, mine, new = (network(tmp_path, name, 1000, used) for used, name in ((1, "old"), (2, "mine"), (3, "new")))
    half = tmp_path / "half"
    files.write_bytes(half / "part-0000.safetensors", b"0" * 1000)
    quantised_cache.evict(tmp_path, in_use=mine, limit=10_000)
    assert all(folder.exists() for folder in (old, mine, new, half))
    quantised_cache.evict(tmp_path, in_use=mine, limit=2_500)
    assert [folder.exists() for folder in (half, old, mine, new)] == [False, False, True, True]
    quantised_cache.evict(tmp_path, in_use=mine, limit=10)
    assert [folder.name for folder in tmp_path.iterdir()] == ["mine"]


def test_a_network_counts_as_used_when_it_is_read(weights):
    load(weights, "int8")
    index = next(file for file in kept_files(weights) if file.name == "index.json")
    os.utime(index, (1, 1))
    load(weights, "int8")
    assert index.stat().st_mtime > 1


def test_loading_clears_the_cache_down_to_its_limit(weights, monkeypatch):
    kept = weights.parent / "kept"
    stale = network(kept, "stale", 1000, 1)
    load(weights, "int8")
    assert stale.exists()
    monkeypatch.setattr(quantised_cache.evict, "__defaults__", (100,))
    load(weights, "int8")
    assert not stale.exists() and len(list(kept.glob("*/index.json"))) == 1


def test_a_full_disk_leaves_nothing_half_made_behind(weights, monkeypatch):
    def refused(act: str, path: Path) -> None:
        if act == "write":
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "about_to", refused)
    with pytest.raises(files.DiskFullError):
        load(weights, "int8")
    assert not [path for path in (weights.parent / "kept").iterdir() if path.is_dir()]
