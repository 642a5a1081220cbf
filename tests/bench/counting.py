"""Count what a step would ask of a card, where there is none: launches, waits for the device, bytes for the backward.

Tensors on the meta device stand for those on the card, others for those of the host. The networks run without values.
"""

from __future__ import annotations

import gc
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from unittest import mock

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from lora_gui.engine.memory.tracker import Live, gpu_kernels

CARD = torch.device("meta")
_FREE = (  # no kernel: they reserve memory, change what a tensor says of itself, or read what the host knows
    "aten::empty", "aten::new_empty", "aten::detach", "aten::alias", "aten::lift", "aten::_unsafe_view", "profiler::",
    "aten::_local_scalar_dense", "aten::set_", "aten::squeeze_", "aten::unsqueeze_", "aten::t_", "aten::transpose_",
    "aten::record_stream", "prim::", "aten::sym_",
)  # fmt: skip
_WAITING = {  # the size of the result, or the result itself, is known to the device alone
    "nonzero", "masked_select", "_local_scalar_dense", "equal", "_unique2", "unique_dim", "unique_consecutive",
    "bincount",
}  # fmt: skip
_TENSORS_AT_ONCE = (110, 64, 48, 36, 30)  # in a launch over lists, by how many lists (aten/.../MultiTensorApply.cuh)


@dataclass
class Counted:
    """What a step asked of the card. A copy between host and card is a launch too, and a wait unless non-blocking."""

    launches: Counter[str] = field(default_factory=Counter)  # by operation
    waits: Counter[str] = field(default_factory=Counter)
    saved: int = 0  # bytes alive when a backward began that were made in the step

    def to_json(self) -> dict[str, int]:
        return {"launches": self.launches.total(), "waits": self.waits.total(), "saved": self.saved}


class _Counting(Live):
    def __init__(self, networks: Iterable[nn.Module]) -> None:
        super().__init__(networks)
        # held, lest another storage come to lie where one of them went
        self._there = [one for one in gc.get_objects() if issubclass(type(one), torch.Tensor) and one.is_meta]
        self._older |= {one.untyped_storage()._cdata for one in self._there}
        self.begin()

    def begin(self) -> None:
        """Count anew; what is alive now is not of the step to come."""
        self.counted, self._before, self._backward = Counted(), self.now, False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        backward = torch._C._current_graph_task_id() != -1
        if backward and not self._backward:
            self.counted.saved = max(self.counted.saved, self.now - self._before)
        self._backward = backward
        name = func._overloadpacket._qualified_op_name.replace("aten::", "")
        wait, answered, out = _answer(func, name, args, kwargs)
        if not answered:
            out = super().__torch_dispatch__(func, types, args, kwargs)
        if wait:
            self.counted.waits[name] += 1
        if launches := _launches(func, args, kwargs, out):
            self.counted.launches[name] += launches
        return out


def _launches(func: Any, args: Any, kwargs: Any, out: Any) -> int:
    if _is_free(func) or not any(_on_card(one) for one in tree_leaves((args, kwargs, out))):
        return 0
    lists = [one for one in (*args, *kwargs.values()) if isinstance(one, list | tuple) and one and _on_card(one[0])]
    if not func._schema.name.startswith(("aten::_foreach", "aten::_fused")) or not lists:
        return 1
    fused = func._schema.name.startswith("aten::_fused")  # its list of steps comes beside the others
    at_once = _TENSORS_AT_ONCE[min(len(lists) - fused, len(_TENSORS_AT_ONCE)) - 1]
    return math.ceil(len(lists[0]) / at_once)


@cache
def _is_free(func: Any) -> bool:
    """Whether it is a view or does nothing on the device."""
    views = any(one.alias_info is not None and not one.alias_info.is_write for one in func._schema.returns)
    return views or func._schema.name.startswith(_FREE)


def _answer(func: Any, name: str, args: Any, kwargs: Any) -> tuple[bool, bool, Any]:
    """Whether the host must wait, whether the result cannot be had without values, and a result of a right form."""
    tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
    if not any(map(_on_card, tensors)):
        moved = _on_card_by(kwargs.get("device")) and name == "_to_copy" and bool(tensors)
        return moved and not kwargs.get("non_blocking", False), False, None
    if name == "_fused_adamw_":  # of which the meta device knows no form with its rate in a tensor
        return False, True, None
    if name in _WAITING:
        return True, True, _WITHOUT_VALUES.get(name, _everything)(args[0])
    if name == "_to_copy" and "device" in kwargs and not _on_card_by(kwargs["device"]):
        host = torch.ones(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
        return not kwargs.get("non_blocking", False), True, host
    if name == "copy_" and _on_card(args[0]) != _on_card(args[1]):
        out = args[0] if _on_card(args[0]) else args[0].fill_(1)
        return not (args[2] if len(args) > 2 else kwargs.get("non_blocking", False)), not _on_card(args[0]), out
    if name in ("index", "index_put", "index_put_"):
        if any(map(_is_mask, args[1])):
            return True, True, func(args[0], _numbers(args[1]), *args[2:], **kwargs)
        return any(one is not None and not _on_card(one) for one in args[1]), False, None
    return False, False, None


def _everything(given: torch.Tensor) -> Any:
    """As though every value were chosen."""
    return torch.empty((given.numel(), given.ndim), dtype=torch.long, device=CARD)


_WITHOUT_VALUES: dict[str, Callable[[torch.Tensor], Any]] = {
    "_local_scalar_dense": lambda given: torch.ones((), dtype=given.dtype).item(),
    "equal": lambda given: True,
    "masked_select": lambda given: torch.empty(given.numel(), dtype=given.dtype, device=CARD),
    "bincount": lambda given: torch.empty(given.numel(), dtype=torch.long, device=CARD),
    "unique_consecutive": lambda given: (given.reshape(-1), *(torch.empty(0, device=CARD),) * 2),
    "unique_dim": lambda given: (given, *(torch.empty(0, device=CARD),) * 2),
    "_unique2": lambda given: (given.reshape(-1), *(torch.empty(0, device=CARD),) * 2),
}


def _is_mask(index: Any) -> bool:
    return isinstance(index, torch.Tensor) and index.dtype in (torch.bool, torch.uint8)


def _numbers(indices: Any) -> list[Any]:
    """Masks as the numbers of all that they could choose."""
    found: list[Any] = []
    for one in indices:
        found += [torch.empty(one.numel(), dtype=torch.long, device=CARD)] * one.ndim if _is_mask(one) else [one]
    return found


def _on_card(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.device == CARD


def _on_card_by(device: Any) -> bool:
    return device is not None and torch.device(device) == CARD


_INDEXING = (torch.Tensor.__getitem__, torch.Tensor.__setitem__)


def _has_list(index: Any) -> bool:
    return isinstance(index, list) or (isinstance(index, tuple) and any(map(_has_list, index)))


class _Making(TorchFunctionMode):
    """Sees where numbers of the host are made a tensor on the card, which is a copy that blocks."""

    def __init__(self, counted: Counted) -> None:
        super().__init__()
        self.counted = counted

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.tensor, torch.as_tensor) and _on_card_by(kwargs.get("device")) and not _on_card(args[0]):
            self.counted.waits[func.__name__] += 1
        if func in _INDEXING and _on_card(args[0]) and _has_list(args[1]):
            self.counted.waits[func.__name__] += 1
        return func(*args, **kwargs)


class _Generator(torch.Generator):
    """Of the host, whichever device it is asked for."""

    def __new__(cls, device: Any = None) -> _Generator:
        return super().__new__(cls, "cpu")


@contextmanager
def pretended() -> Iterator[None]:
    """Let torch and its optimizers treat the meta device as a card: attention, kernels over lists, random numbers."""
    with (
        gpu_kernels(),
        mock.patch("torch.Generator", _Generator),
        mock.patch("torch._C._get_privateuse1_backend_name", lambda: CARD.type),
    ):
        yield


def count(step: Callable[[], Any], networks: Iterable[nn.Module] = (), warm_up: int = 0) -> Counted:
    """What one call of `step` would ask of a card, after so many others that are not counted."""
    counting = _Counting(networks)
    for _ in range(warm_up + 1):
        counting.begin()
        with pretended(), counting, _Making(counting.counted):
            step()
    return counting.counted
