"""Run a network without weights or arithmetic and count what it would hold in memory, and how much it would compute.

All tensors are on the meta device: they have a shape, a format and a storage of a size, and no contents. What is alive
is counted from the storages themselves, so views, tensors kept for the backward and recomputing are all as they are.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any
from unittest import mock

import torch
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from lora_gui.engine.memory.block_dedup import Blocks, marking

_FLASH_WIDTH = 256  # widest attention head of the flash kernel

Form = tuple[torch.Size, tuple[int, ...], dict[str, Any]] | None
_FORMS: dict[Any, list[Form]] = {}  # what operations gave, by their arguments: a plan's traces have most in common
_MOST_FORMS = 30_000  # a few large traces have as many; some tens of MB


@dataclass(frozen=True)
class Trace:
    """What one run would need beyond the network's own weights; bytes, and FLOP (one multiply-add = 2)."""

    peak: int  # of all that was alive at once
    saved: int  # alive when the forward had ended: what the backward needs
    forward_flop: int
    flop: int  # with the backward and what is recomputed in it

    def to_json(self) -> dict[str, int]:
        return asdict(self)


@dataclass
class _Stretch:
    """A part of the work that is done `times` times: bytes alive at its `start` and at its peak, and its FLOP."""

    start: int
    times: int
    peak: int
    flop: int = 0


class Live(TorchDispatchMode):
    """Counts the bytes of all storages made while it is on, and of those still alive; and the arithmetic.

    The weights of `networks` and the tensors `held` were there before, so neither they nor views of them count.
    """

    def __init__(self, networks: Iterable[nn.Module] = (), held: Iterable[torch.Tensor] = ()) -> None:
        super().__init__()
        self.now = 0
        self._stretches = [_Stretch(0, 1, 0)]
        own = (tensor for network in networks for tensor in (*network.parameters(), *network.buffers()))
        self._older = {tensor.untyped_storage()._cdata for tensor in (*own, *held)}
        self._alive: dict[int, weakref.ref] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = self._result(func, args, kwargs)
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self._stretches[-1].flop += count(*args, **kwargs, out_val=out)
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, torch.Tensor):
                self._see(tensor)
        return out

    def mark(self, times: int) -> None:
        """What follows, up to the next mark, is done so many times in a row, each adding as much as the first."""
        self._stretches.append(_Stretch(self.now, times, self.now))

    def total(self) -> tuple[int, int, int]:
        """Bytes alive now, bytes alive at the peak, and FLOP."""
        grown, peak, flop = 0, 0, 0
        ends = [*(one.start for one in self._stretches[1:]), self.now]
        for one, end in zip(self._stretches, ends, strict=True):
            more = (one.times - 1) * (end - one.start)
            peak = max(peak, one.peak + grown + max(0, more))
            flop += one.times * one.flop
            grown += more
        return self.now + grown, peak, flop

    def _result(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """What `func` gives. Where that is new, only its form matters, and the same arguments give the same form.

        Most operations work their form out in Python, which takes a hundred times as long as making a tensor of it.
        """
        if func is torch.ops.aten.addmm_.default:
            return args[0]  # it only adds to what is there
        if not _promises_new(func):
            return func(*args, **kwargs)
        key = (func, _told(args), _told(tuple(kwargs.items())))
        if key in _FORMS:
            made = [form and torch.empty_strided(form[0], form[1], **form[2]) for form in _FORMS[key]]
            return tuple(made) if len(func._schema.returns) > 1 else made[0]
        out = func(*args, **kwargs)
        results = out if isinstance(out, tuple) else (out,)
        given = {one.untyped_storage()._cdata for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)}
        if all(one is None or _is_new(one, given) for one in results):
            if len(_FORMS) >= _MOST_FORMS:
                _FORMS.clear()
            _FORMS[key] = [one if one is None else _form(one) for one in results]
        return out

    def _see(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._alive or key in self._older:
            return
        self.now += size
        self._stretches[-1].peak = max(self._stretches[-1].peak, self.now)

        def gone(_: Any) -> None:
            self.now -= size
            self._alive.pop(key, None)

        self._alive[key] = weakref.ref(storage, gone)


@cache
def _promises_new(func: Any) -> bool:
    """Whether an operation says that all it gives are tensors of their own. A few say so of views of what they got."""
    schema = func._schema
    plain = all(one.alias_info is None for one in (*schema.arguments, *schema.returns))
    return plain and all(str(one.type) == "Tensor" for one in schema.returns)


def _told(value: Any) -> Any:
    """An argument by all that the form of a result can depend on."""
    if isinstance(value, torch.Tensor):
        return value.shape, value.stride(), value.dtype, value.device
    return tuple(map(_told, value)) if isinstance(value, tuple | list) else (type(value), value)


def _form(tensor: torch.Tensor) -> Form:
    return tensor.shape, tensor.stride(), {"dtype": tensor.dtype, "device": "meta"}


def _is_new(result: Any, given: set[int]) -> bool:
    """Whether a result is a tensor with a storage that is just as large and none of those `given`."""
    if not isinstance(result, torch.Tensor) or not result.is_meta:
        return False
    storage = result.untyped_storage()
    span = 1 + sum((size - 1) * stride for size, stride in zip(result.shape, result.stride(), strict=True))
    return storage._cdata not in given and storage.nbytes() == (span * result.itemsize if result.numel() else 0)


def attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
) -> torch.Tensor:  # fmt: skip
    """Attention by the kernels that a GPU takes, which never hold the square of scores.

    On the CPU and the meta device torch would fall back to plain arithmetic, which does. The real kernels' own shapes
    are used, forward and backward: flash for half precision without a mask, memory-efficient for the rest.
    """
    if enable_gqa and key.shape[1] != query.shape[1]:
        key, value = (t.repeat_interleave(query.shape[1] // key.shape[1], dim=1) for t in (key, value))
    half = query.dtype in (torch.float16, torch.bfloat16)
    if half and attn_mask is None and query.shape[-1] <= _FLASH_WIDTH:
        flash = torch.ops.aten._scaled_dot_product_flash_attention
        return flash(query, key, value, dropout_p, is_causal, False, scale=scale)[0]
    bias = None
    if attn_mask is not None:
        shape = (*query.shape[:3], key.shape[2])
        bias = torch.zeros(attn_mask.shape, dtype=query.dtype, device=query.device).expand(shape)
    needed = any(t.requires_grad for t in (query, key, value))
    efficient = torch.ops.aten._scaled_dot_product_efficient_attention
    return efficient(query, key, value, bias, needed, dropout_p, is_causal, scale=scale)[0]


def rms_norm(
    x: torch.Tensor, shape: Sequence[int], weight: torch.Tensor | None = None, eps: float | None = None
) -> torch.Tensor:
    """RMSNorm by one kernel each way, as on a GPU, of which the meta device has none: LayerNorm's has the same form."""
    return functional.layer_norm(x, list(shape), weight, None, eps or 1e-6)


@contextmanager
def gpu_kernels() -> Iterator[None]:
    """Let `attention` and `rms_norm` stand in for torch's while a network is traced, the backward included."""
    with mock.patch.multiple(functional, scaled_dot_product_attention=attention, rms_norm=rms_norm):
        yield


@contextmanager
def keeping_scores() -> Iterator[None]:
    """Trace attention as torch computes it on Apple's cards, where it holds the square of scores."""
    with mock.patch.dict(globals(), attention=functional.scaled_dot_product_attention):
        yield


def forward(network: nn.Module, call: Callable[[], Any], runs: Sequence[Blocks] = ()) -> Trace:
    """What `call`, which uses `network`, would need, without gradients. `runs` says what was left out of it."""
    live = Live([network])
    with torch.no_grad(), gpu_kernels(), live, marking(runs, live.mark):
        out = call()
    _, peak, flop = live.total()
    del out
    return Trace(peak, 0, flop, flop)


def training(
    networks: Iterable[nn.Module], calls: Sequence[Callable[[], torch.Tensor]], held: Iterable[torch.Tensor] = (),
    runs: Sequence[Blocks] = (),
) -> Trace:  # fmt: skip
    """What one step of training would need: the forward of every part, one loss of them all, the backward.

    What the adapter learns with, its gradients included, is `held` before; what the networks are given stays until the
    end of the step, as a batch does.
    """
    networks, given = list(networks), list[Any]()
    keeping = [one.register_forward_pre_hook(lambda *told: given.append(told), with_kwargs=True) for one in networks]
    live = Live(networks, held)
    with gpu_kernels(), live:
        with marking(runs, live.mark):
            losses = [call().float().pow(2).mean() for call in calls]
        for hook in keeping:
            hook.remove()
        saved, _, forward_flop = live.total()
        loss = torch.stack(losses).sum()
        del losses
        loss.backward()
    _, peak, flop = live.total()
    return Trace(peak, saved, forward_flop, flop)
