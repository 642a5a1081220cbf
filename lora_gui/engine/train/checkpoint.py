"""What a run can go on from: the LoRA, the optimizer and the step, in a folder that is whole or does not count."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_bytes

from lora_gui import files
from lora_gui.formats import all_tensors
from lora_gui.formats.dialects import diffusers
from lora_gui.formats.lora_file import Layers
from lora_gui.formats.metadata import with_hashes
from lora_gui.protocol.task_folder import ADAPTER, LAST, MANIFEST, is_lora_alone, step_of

Join = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]
_KEPT = 2
_EARLIER = 3  # further ones of which the LoRA alone is kept, to be compared with what a run ends with
_OPTIMIZER, _STATE = "optimizer.safetensors", "state.json"


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint on the disk."""

    folder: Path
    step: int

    @property
    def lora(self) -> Path:
        """The LoRA as it was, a file that can be drawn with; an average of what was learnt where one is kept."""
        return self.folder / ADAPTER

    @property
    def learning(self) -> Path:
        """The weights that learning goes on from."""
        return last if (last := self.folder / LAST).is_file() else self.lora


@dataclass(frozen=True)
class State:
    """A copy of all that a checkpoint holds, which no step changes any more."""

    step: int
    layers: Layers
    metadata: dict[str, str]
    tensors: dict[str, torch.Tensor]  # of the optimizer
    numbers: dict[str, Any]  # what is JSON
    last: Layers | None  # what learning goes on from, where that is not `layers`


def copied(
    step: int, layers: Layers, metadata: dict[str, str], optimizer: torch.optim.Optimizer, further: dict[str, Any],
    last: Layers | None = None,
) -> State:  # fmt: skip
    """The state after `step` steps; `layers` and `last` are copies already, `further` is JSON."""
    tensors, numbers = pack(optimizer)
    return State(step, layers, metadata, tensors, {"step": step, "optimizer": numbers} | further, last)


def save(checkpoints: Path, state: State) -> Checkpoint:
    """Write a state. Only then are the older ones dropped, but for the LoRAs of a few.

    The folder is written beside, its manifest last, and renamed: what has its final name and a true manifest is whole.
    """
    target = checkpoints / f"ckpt-{state.step:06}"
    if not is_whole(target):  # a step has one state, whenever it was reached
        _write(target, state)
    _thin_out(_folders(checkpoints))
    return Checkpoint(target, state.step)


def _thin_out(folders: list[Path]) -> None:
    """Leave the newest as they are, and of the older ones the LoRAs of a few, about evenly apart."""
    earlier, newest = folders[:-_KEPT], folders[-_KEPT:]
    while len(earlier) > _EARLIER:
        steps = [0, *map(step_of, earlier), step_of(newest[0])]
        gaps = [after - before for before, after in zip(steps, steps[2:], strict=False)]
        files.remove_folder(earlier.pop(gaps.index(min(gaps))))
    for folder in earlier:
        files.sweep(folder, alone=True)  # of a start that died here
        manifest = files.read_json(folder / MANIFEST)
        if isinstance(manifest, dict) and ADAPTER in manifest:
            if len(manifest) > 1:
                files.write_json(folder / MANIFEST, {ADAPTER: manifest[ADAPTER]})
            for name in (_STATE, _OPTIMIZER, LAST):
                files.remove(folder / name)


def _write(target: Path, state: State) -> None:
    partial = files.half_made(target)
    contents = {
        ADAPTER: with_hashes(to_bytes(diffusers.build_exact(state.layers), state.metadata)),
        _OPTIMIZER: to_bytes(state.tensors),
        _STATE: json.dumps(state.numbers).encode(),
    }
    if state.last is not None:
        contents[LAST] = with_hashes(to_bytes(diffusers.build_exact(state.last), state.metadata))
    for name, data in contents.items():
        files.write_bytes(partial / name, data)
    files.write_json(partial / MANIFEST, {name: _entry(data) for name, data in contents.items()})
    if target.exists():
        files.remove_folder(target)
    files.move(partial, target)


class Saving:
    """Writes checkpoints in a thread, one at a time, while the steps go on."""

    def __init__(self, checkpoints: Path) -> None:
        self._checkpoints = checkpoints
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._under_way: Future[Checkpoint] | None = None

    def begin(self, state: State) -> None:
        """Only where none is under way."""
        self._under_way = self._pool.submit(save, self._checkpoints, state)

    def ended(self, wait: bool = False) -> Checkpoint | None:
        """The checkpoint that has come to be whole since this was last asked; raises what kept it from that."""
        if self._under_way is None or not (wait or self._under_way.done()):
            return None
        ended, self._under_way = self._under_way, None
        return ended.result()


def newest(checkpoints: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest whole one that a run can go on from, and a sentence for each damaged one, which is set aside."""
    files.sweep(checkpoints, alone=True)
    sentences: list[str] = []
    for folder in reversed(_folders(checkpoints)):
        if is_whole(folder):
            if is_lora_alone(folder):
                break  # and so are all that are older
            return Checkpoint(folder, step_of(folder)), sentences
        aside = files.free_name(checkpoints / "damaged", folder.name, "")
        files.move(folder, aside)
        sentences.append(f"The checkpoint of step {step_of(folder)} is damaged and was set aside.")
    return None, sentences


def is_whole(folder: Path) -> bool:
    """Whether every file of a checkpoint is exactly what was written."""
    manifest = files.read_json(folder / MANIFEST)
    if not isinstance(manifest, dict) or not manifest:
        return False
    return all(
        (folder / name).is_file() and _entry((folder / name).read_bytes()) == entry for name, entry in manifest.items()
    )


def restore(checkpoint: Checkpoint, optimizer: torch.optim.Optimizer, join: Join = list) -> dict[str, Any]:
    """Give the optimizer its state back; returns what else `save` was given. For `join` see `unpack`."""
    state = json.loads((checkpoint.folder / _STATE).read_text(encoding="utf-8"))
    tensors = all_tensors.read(checkpoint.folder / _OPTIMIZER)
    unpack(optimizer, tensors, state.pop("optimizer"), join)
    return state


def pack(optimizer: torch.optim.Optimizer) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """An optimizer's state as tensors and JSON, whichever optimizer it is."""
    state = optimizer.state_dict()
    tensors: dict[str, torch.Tensor] = {}
    whole = {
        "state": {str(weight): values for weight, values in state["state"].items()},
        "param_groups": {str(number): group for number, group in enumerate(state["param_groups"])},
    }
    return tensors, _without_tensors(whole, "", tensors)


def unpack(
    optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor], numbers: dict[str, Any], join: Join = list
) -> None:
    """The opposite of `pack`, into an optimizer of the same weights, whose groups may be other ones.

    Where it keeps them in fewer tensors than it did when they were saved, `join` makes fewer states of those; where it
    keeps them in other bits, it begins anew.
    """
    whole = _copy(numbers)
    for path, tensor in tensors.items():
        *owners, key = path.split(".")
        owner = whole
        for name in owners:
            owner = owner[name]
        owner[key] = tensor
    state = {int(weight): values for weight, values in whole["state"].items()}
    plain, in_8_bits = isinstance(optimizer, torch.optim.AdamW), type(optimizer).__module__.startswith("bitsandbytes")
    if (plain or in_8_bits) and any(("exp_avg" in values) == in_8_bits for values in state.values()):
        state = {}  # a Mac has the one in place of the other
    kept = list(whole["param_groups"].values())
    rates = ("params", "lr", "text", "times")  # a rate is set anew in each step
    now = optimizer.state_dict()["param_groups"]
    own = [{key: group[key] for key in rates if key in group} for group in now]
    groups = [kept[min(n, len(kept) - 1)] | group for n, group in enumerate(own)]
    if len(state) > sum(len(group["params"]) for group in own):
        state = dict(enumerate(join([state[n] for n in sorted(state)])))
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _without_tensors(values: dict[str, Any], path: str, tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Copy a nested value but for its tensors, which go to `tensors` by their path."""
    others: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, torch.Tensor):
            tensors[f"{path}{key}"] = value.detach().cpu().contiguous().clone()
        else:
            others[key] = _without_tensors(value, f"{path}{key}.", tensors) if isinstance(value, dict) else value
    return others


def _copy(values: dict[str, Any]) -> dict[str, Any]:
    """Copy what came from JSON, which knows no tuples; an optimizer's only list is that of its weights."""
    return {
        key: _copy(value) if isinstance(value, dict)
        else tuple(value) if isinstance(value, list) and key != "params"
        else value
        for key, value in values.items()
    }  # fmt: skip


def _entry(data: bytes) -> dict[str, Any]:
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _folders(checkpoints: Path) -> list[Path]:
    found = checkpoints.glob("ckpt-*") if checkpoints.is_dir() else []
    return sorted(folder for folder in found if folder.is_dir() and not folder.name.endswith(".tmp"))
