"""A graphics card that is not there: values lie with the host, and whatever would mix the two devices is refused.

Each storage is known to be the card's or the host's; what is computed is exact, so a drawing can be compared. Torch
allows a host's single numbers in pointwise arithmetic and a host's indices of a card's values, and so does this. One of
Apple's also refuses numbers of 64 bits with a fraction, and what torch has no kernel for there.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from types import FunctionType, MethodWrapperType
from typing import Any
from unittest import mock

import torch
import torchgen
from diffusers import ModelMixin
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.overrides import _pop_mode_temporarily as _functions_aside
from torch.utils import checkpoint
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._python_dispatch import _pop_mode_temporarily as _operations_aside
from transformers import PreTrainedModel

from lora_gui.engine.load import int8, quantize

CARD, APPLE, HOST = torch.device("cuda:0"), torch.device("mps:0"), torch.device("cpu")
_GROUPED = torch._C._group_tensors_by_device_and_dtype
_RUN_BACKWARD = torch.autograd._engine_run_backward
_NOT_APPLES = (torch.float64, torch.complex128)
_ROOM = 1 << 36  # bytes of the card
_INDEXING = ("aten::index", "aten::index_put", "aten::_unsafe_index", "aten::_unsafe_index_put")
_SCALARS = ("aten::fill", "aten::masked_fill", "aten::where", "aten::addcmul", "aten::addcdiv", "aten::lerp")
_TO_HOST = (torch.Tensor.numpy, torch.Tensor.__array__)


def _tensors(one: Any) -> list[torch.Tensor]:
    """Those among the arguments or results of an operation."""
    if isinstance(one, torch.Tensor):
        return [one]
    found = []
    for inner in one.values() if isinstance(one, dict) else one if isinstance(one, (list, tuple)) else ():
        if isinstance(inner, torch.Tensor):
            found.append(inner)
        elif isinstance(inner, (list, tuple, dict)):
            found += _tensors(inner)
    return found


class _Places:
    """Which storages are the card's. One that is gone keeps its address as long as it is remembered."""

    def __init__(self, card: torch.device) -> None:
        self.card = card
        self._on_card: dict[int, StorageWeakRef] = {}
        self.within = HOST  # of what an operation makes of nothing: where that lies which it is a part of

    def of(self, tensor: torch.Tensor) -> torch.device:
        return self.card if tensor.untyped_storage()._cdata in self._on_card else HOST

    def put(self, tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if device.type == self.card.type:
            if self.card == APPLE and tensor.dtype in _NOT_APPLES:
                raise TypeError(f"Cannot convert a MPS Tensor to {tensor.dtype}, which MPS doesn't support.")
            self._on_card[storage._cdata] = StorageWeakRef(storage)
        else:
            self._on_card.pop(storage._cdata, None)
        return tensor

    def grouped(self, lists: Any, *more: Any) -> dict[Any, Any]:
        """Weights and what belongs to them by device, as optimizers and limits of gradients want them."""
        found = _GROUPED(lists, *more).items()
        return {(self.of(values[0][0]), dtype): (values, numbers) for (_, dtype), (values, numbers) in found}


class _Operations(TorchDispatchMode):
    """Refuses operations on both devices, and knows where their results lie."""

    def __init__(self, places: _Places) -> None:
        super().__init__()
        self._places = places

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = _tensors((*args, *(kwargs or {}).values()))
        card = self._places.card
        where = [self._places.of(one) for one in given]
        on_card = card in where
        by_host = [one for one, place in zip(given, where, strict=True) if place is HOST]
        makes_there = on_card or not given and self._places.within == card
        if on_card and by_host and not self._may_mix(func, args, by_host):
            raise RuntimeError(f"Expected all tensors to be on the same device, but found {card} and cpu ({func})")
        if makes_there and card == APPLE and not _is_apples(func):
            raise NotImplementedError(f"The operator {func} is not currently implemented for the MPS device.")
        out = func(*args, **kwargs or {})
        held = {one.untyped_storage()._cdata for one in given}
        for one in _tensors(out) if makes_there else ():
            if one.untyped_storage()._cdata not in held:
                self._places.put(one, card)
        return out

    def _may_mix(self, func: Any, args: Any, by_host: list[torch.Tensor]) -> bool:
        name = func._schema.name.rstrip("_")
        if name in ("aten::copy", "aten::_has_compatible_shallow_copy_type"):
            return True
        if name in _INDEXING:
            values = args[2:3] if "put" in name else ()
            there = self._places.of(args[0]) == self._places.card
            return there and all(one.ndim == 0 or one not in by_host for one in values)
        changes = func._schema.is_mutable and self._places.of(_tensors(args)[0]) == HOST
        pointwise = torch.Tag.pointwise in func.tags or name in _SCALARS
        return pointwise and not changes and all(one.ndim == 0 for one in by_host)


class _Functions(TorchFunctionMode):
    """Says of tensors where they lie, and moves them; the operations below know one device only."""

    def __init__(self, places: _Places) -> None:
        super().__init__()
        self._places = places
        self._own: dict[Any, Callable[..., Any]] = {
            torch.Tensor.device.__get__: places.of,
            torch.Tensor.is_cuda.__get__: lambda one: places.of(one) == CARD,
            torch.Tensor.is_mps.__get__: lambda one: places.of(one) == APPLE,
            torch.Tensor.is_cpu.__get__: lambda one: places.of(one) == HOST,
            torch.Tensor.to: self._to,
            torch.Tensor.cpu: lambda one, *_, **__: self._to(one, HOST),
            torch.Tensor.cuda: lambda one, *_, **__: self._to(one, CARD),
            torch.Tensor.type_as: self._to,
            torch.Tensor.pin_memory: lambda one, *_, **__: one.clone(),
            torch.Tensor.record_stream: lambda *_: None,
        }

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in self._own:
            return self._own[func](*args, **kwargs)
        card = self._places.card
        if func in _TO_HOST and self._places.of(args[0]) == card:
            raise TypeError(f"can't convert {card} device type tensor to numpy. Use Tensor.cpu() first")
        kwargs.pop("pin_memory", None)
        asked = kwargs.pop("device", None)
        if asked is None:
            return self._within(func, args, kwargs)
        device = torch.device(asked)
        if device.type == card.type:
            self._require_own(kwargs.get("generator"), func)
        if device.type == "meta":
            return func(*args, **kwargs, device=device)
        made = func(*args, **kwargs, device=HOST)
        return self._places.put(made, device) if isinstance(made, torch.Tensor) else made

    def _within(self, func: Any, args: Any, kwargs: Any) -> Any:
        """What torch itself makes on the way to the result of a card's tensors is the card's, too."""
        if isinstance(func, (FunctionType, MethodWrapperType)):  # calls others, or makes nothing
            return func(*args, **kwargs)
        before, card = self._places.within, self._places.card
        if any(self._places.of(one) == card for one in _tensors((*args, *kwargs.values()))):
            self._places.within = card
            self._require_own(kwargs.get("generator"), func)
        try:
            return func(*args, **kwargs)
        finally:
            self._places.within = before

    def run_backward(self, *args: Any, **kwargs: Any) -> Any:
        """What is computed on the way back asks for devices, too."""
        with self:
            return _RUN_BACKWARD(*args, **kwargs)

    def _require_own(self, generator: Any, func: Any) -> None:
        card = self._places.card
        if generator is not None and generator.device != card:
            raise RuntimeError(f"Expected a {card.type!r} device type for generator but found 'cpu' ({func})")

    def _to(self, tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        device, dtype, copy, flags = self._places.of(tensor), tensor.dtype, bool(kwargs.pop("copy", False)), 0
        kwargs.pop("non_blocking", None)
        told = [kwargs.pop(name, None) for name in ("device", "dtype", "other")]
        for one in (*args, *told):
            if isinstance(one, torch.Tensor):
                device, dtype = self._places.of(one), one.dtype
            elif isinstance(one, torch.dtype):
                dtype = one
            elif isinstance(one, bool):
                copy, flags = copy or (one and flags == 1), flags + 1
            elif one is not None:
                device = torch.device(one)
        if device.type == "meta":
            return torch.Tensor.to(tensor, device, dtype, **kwargs)
        moves = device.type != self._places.of(tensor).type
        made = torch.Tensor.to(tensor, dtype=dtype, copy=copy or moves, **kwargs)
        return self._places.put(made, device) if moves else made


class _Stream:
    """Does what it is told at once."""

    def __init__(self, *_: Any) -> None: ...
    def wait_stream(self, _: Any) -> None: ...
    def wait_event(self, _: Any) -> None: ...
    def record_event(self) -> object:
        return object()


def _plainly(kind: Any) -> Any:
    """Weights come from their files without a card: libraries build networks on the device `meta` meanwhile."""
    own = kind.from_pretrained.__func__

    def from_pretrained(cls: Any, *args: Any, **kwargs: Any) -> Any:
        with _functions_aside(), _operations_aside():
            return own(cls, *args, **kwargs)

    return mock.patch.object(kind, "from_pretrained", classmethod(from_pretrained))


class _Generator(torch.Generator):
    """Random numbers of a device; those of a card are the host's."""

    def __new__(cls, device: Any = HOST) -> Any:
        return super().__new__(cls, HOST)

    def __init__(self, device: Any = HOST) -> None:
        self._place = torch.device(device)

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return torch.device(self._place.type, 0) if self._place.type != "cpu" else HOST


@cache
def _without_kernels() -> frozenset[str]:
    """Operations that torch's own list gives no kernel for Apple's cards, nor one that goes for all devices."""
    said = Path(torchgen.__file__).with_name("packaged") / "ATen/native/native_functions.yaml"
    kernels, delegates = {}, {}
    for one in said.read_text(encoding="utf-8").split("\n- func: ")[1:]:
        name, lines = one.partition("(")[0], re.findall(r"(?m)^    ([A-Z]\w*(?:, *\w+)*): ", one)
        kernels[name] = {key.strip() for line in lines for key in line.split(",")}
        delegates[name] = "".join(re.findall(r"(?m)^  structured_delegate: (\S+)", one)) or name
    return frozenset(
        name for name, other in delegates.items()
        if (own := kernels[other]) and not any(key == "MPS" or key.startswith("Composite") for key in own)
    )  # fmt: skip


@cache
def _is_apples(func: Any) -> bool:
    """Whether there is a kernel for Apple's cards. What torch takes on a processor alone has another in its place."""
    space, name = func._schema.name.split("::")
    if space != "aten":
        return torch._C._dispatch_has_kernel_for_dispatch_key(f"{space}::{name}", "CompositeExplicitAutograd")
    overload = func._overloadname
    return "_for_cpu" in name or (name if overload == "default" else f"{name}.{overload}") not in _without_kernels()


@contextmanager
def _card(card: torch.device) -> Iterator[torch.device]:
    places = _Places(card)
    with ExitStack() as stack:
        for known in (quantize._code, int8._is_quick):  # by the device, which is another each time
            known.cache_clear()
            stack.callback(known.cache_clear)
        for kind in (ModelMixin, PreTrainedModel):
            stack.enter_context(_plainly(kind))
        stack.enter_context(mock.patch.object(torch, "Generator", _Generator))
        stack.enter_context(mock.patch.object(torch._C, "_group_tensors_by_device_and_dtype", places.grouped))
        stack.enter_context(mock.patch.dict(checkpoint._allowed_determinism_checks_to_fns, default=lambda _: None))
        stack.enter_context(_Operations(places))
        functions = stack.enter_context(_Functions(places))
        stack.enter_context(mock.patch.object(torch.autograd, "_engine_run_backward", functions.run_backward))
        yield card


@contextmanager
def pretended(capability: tuple[int, int] = (8, 6)) -> Iterator[torch.device]:
    """A card for the time being, of this compute capability; what is loaded onto it must not be used afterwards."""
    of_cuda = {
        "Stream": _Stream, "current_stream": _Stream, "stream": lambda _: nullcontext(), "empty_cache": lambda: None,
        "mem_get_info": lambda *_: (_ROOM, _ROOM), "memory_reserved": lambda *_: 0, "memory_allocated": lambda *_: 0,
        "get_device_capability": lambda *_: capability,
    }  # fmt: skip
    with mock.patch.multiple(torch.cuda, **of_cuda), _card(CARD) as card:
        yield card


@contextmanager
def pretended_apple() -> Iterator[torch.device]:
    """The same of a Mac, as torch calls it without a number."""
    attention = sdpa_kernel(SDPBackend.MATH)  # as it is where gradients are kept
    with attention, mock.patch.object(torch.mps, "empty_cache", lambda: None), _card(APPLE) as card:
        yield torch.device(card.type)
