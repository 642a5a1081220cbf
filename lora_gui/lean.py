"""What a child does not load of the libraries, since it uses none of it: seconds of each start, measured by
`tests/bench/beside.py`.

That is the compiler of torch, which diffusers, transformers and every optimizer ask for only to leave marks for it, and
bitsandbytes, which peft and diffusers look for. Both come, whole, as soon as anything else of them is used.
"""

from __future__ import annotations

import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

_COMPILER, _BITS = "torch._dynamo", "bitsandbytes"
_LIGHT = (f"{_COMPILER}._trace_wrapped_higher_order_op",)  # transformers wants it, and it needs nothing beside it


def start() -> None:
    """Before anything of torch is imported in this process; where some of it is, nothing is left out."""
    torch = importlib.util.find_spec("torch")
    if "torch" in sys.modules or torch is None or torch.origin is None:
        return
    sys.modules[_COMPILER] = _Compiler(str(Path(torch.origin).parent / "_dynamo"))
    sys.meta_path.insert(0, _More())
    sys.modules[_BITS] = None  # type: ignore[assignment]  # "not installed", for those who only look


@contextmanager
def importing() -> Iterator[None]:
    """Around imports that take long: what comes in stays for good, so nobody need look for garbage in it, ever."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def bitsandbytes() -> Any:
    """The library, for those who do need it. Raises ImportError where it is not installed."""
    if sys.modules.get(_BITS, _BITS) is None:
        del sys.modules[_BITS]
    return importlib.import_module(_BITS)


class _Compiler(ModuleType):
    """Stands for the compiler as long as functions are only marked for it; the marks mean nothing without it."""

    def __init__(self, folder: str) -> None:
        super().__init__(_COMPILER)
        self.__path__ = [folder]
        self.__spec__ = importlib.machinery.ModuleSpec(_COMPILER, None, is_package=True)

    @staticmethod
    def disable(function: Any = None, *_: Any, **__: Any) -> Any:
        return _same if function is None else function

    @staticmethod
    def allow_in_graph(function: Any) -> Any:
        return function

    @staticmethod
    def assume_constant_result(function: Any) -> Any:
        return function

    @staticmethod
    def graph_break(*_: Any, **__: Any) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_whole(), name)


def _same(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def _whole() -> ModuleType:
    """The compiler itself, in the place of what stood for it."""
    if isinstance(sys.modules.get(_COMPILER), _Compiler):
        del sys.modules[_COMPILER]
    return importlib.import_module(_COMPILER)


class _More(importlib.abc.MetaPathFinder):
    """Loads the whole compiler where one of its modules is imported."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        inside = name.startswith(f"{_COMPILER}.") and name not in _LIGHT
        if not inside or not isinstance(sys.modules.get(_COMPILER), _Compiler):
            return None
        _whole()
        return importlib.machinery.ModuleSpec(name, _Loaded()) if name in sys.modules else None


class _Loaded(importlib.abc.Loader):
    """Gives a module that came with the whole as it is."""

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        found = sys.modules[spec.name]
        self._spec = found.__spec__
        return found

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec
