"""What the GPU is that torch uses, asked of the driver's library (NVML), so that torch need not load.

torch computes on `cuda:0`. Which one that is follows CUDA's rules: the first that CUDA_VISIBLE_DEVICES names, by index
or by UUID; its indices count in PCI order with CUDA_DEVICE_ORDER=PCI_BUS_ID, and else from the fastest to the slowest.
CUDA does not say how it knows the fastest; cores times clock is the estimate here. NVML always counts in PCI order.
A Mac with a chip of Apple's has no driver to ask: its GPU takes a share of the computer's memory, told by its size.
"""

import functools
import os
import platform
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

import psutil

_PATIENCE = 10.0  # seconds; a driver that has to wake a GPU takes two or three
_LARGE_MAC = 36  # GiB, from which on the GPU may take three quarters
_NONE = ("", "-1", "none", "void", "nodevfiles")  # what CUDA_VISIBLE_DEVICES says where there is to be none


class Card(NamedTuple):
    """Its memory in GiB, 0 where there is none, and where the driver tells it, its compute capability, its name and the
    driver's version; whether its memory is the computer's own."""

    gib: float = 0.0
    capability: tuple[int, int] | None = None
    name: str = ""
    driver: str = ""
    unified: bool = False


def memory() -> float:
    """GiB of the GPU that torch uses; 0 where there is none."""
    return card().gib


def capability() -> tuple[int, int] | None:
    """Its compute capability, by NVIDIA's count; None where there is none, or where it is not known."""
    return card().capability


def has_its_own() -> bool:
    """Whether there is a GPU whose memory is its own, beside which blocks can wait in the computer's."""
    return bool(memory()) and not card().unified


def card() -> Card:
    """The GPU that torch uses.

    The answer is kept, and a question that failed is asked again the next time. A driver that takes longer than ten
    seconds counts as none until it has answered.
    """
    if sys.platform == "darwin":
        return _apples()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip().lower() in _NONE:
        return Card()
    answer, given_up = _asked(visible, os.environ.get("CUDA_DEVICE_ORDER", ""))
    try:
        found = answer.result(max(0.0, given_up - time.monotonic()))
    except TimeoutError:
        return Card()
    if not found.gib:
        _asked.cache_clear()
    return found


def _apples() -> Card:
    """That of Apple's chips; torch computes on none of an Intel Mac. The share is Metal's recommendedMaxWorkingSetSize,
    which torch.mps.recommended_max_memory tells, too."""
    if platform.machine() != "arm64":
        return Card()
    ram = psutil.virtual_memory().total / 2**30
    return Card(ram * (2 / 3 if ram < _LARGE_MAC else 3 / 4), name="Apple's chip", unified=True)


@functools.cache
def _asked(visible: str | None, order: str) -> tuple["Future[Card]", float]:
    """The answer to come, and until when to wait for it; a thread of its own asks, since NVML knows no time limit."""
    answer: Future[Card] = Future()
    threading.Thread(target=_ask, args=(answer, visible, order), daemon=True).start()
    return answer, time.monotonic() + _PATIENCE


def _ask(answer: "Future[Card]", visible: str | None, order: str) -> None:
    import pynvml as nvml  # large, and most commands do not need it

    found = Card()
    try:
        nvml.nvmlInit()
        try:
            if used := _used(nvml, visible, order):
                told = _or(nvml, None, lambda: tuple(nvml.nvmlDeviceGetCudaComputeCapability(used)))
                name = _or(nvml, "", lambda: nvml.nvmlDeviceGetName(used))
                driver = _or(nvml, "", nvml.nvmlSystemGetDriverVersion)
                found = Card(nvml.nvmlDeviceGetMemoryInfo(used).total / 2**30, told, str(name), str(driver))
        finally:
            nvml.nvmlShutdown()
    except nvml.NVMLError:  # no driver, or one that cannot answer now
        pass
    finally:
        answer.set_result(found)


def _used(nvml: Any, visible: str | None, order: str) -> Any:
    """NVML's handle of the GPU, or of its part, that is `cuda:0`; None where CUDA will find none."""
    found = [nvml.nvmlDeviceGetHandleByIndex(n) for n in range(nvml.nvmlDeviceGetCount())]
    first = "0" if visible is None else visible.split(",")[0].strip()
    if first.upper().startswith("MIG-"):
        return nvml.nvmlDeviceGetHandleByUUID(first)
    if first.upper().startswith("GPU-"):  # as many letters as tell it from all others are enough
        named = [one for one in found if nvml.nvmlDeviceGetUUID(one).lower().startswith(first.lower())]
        return _first_part(nvml, named[0]) if len(named) == 1 else None
    if order != "PCI_BUS_ID":
        found.sort(key=lambda one: _speed(nvml, one), reverse=True)  # stable: the same cards stay in PCI order
    is_there = first.isascii() and first.isdigit() and int(first) < len(found)
    return _first_part(nvml, found[int(first)]) if is_there else None


def _first_part(nvml: Any, gpu: Any) -> Any:
    """The GPU itself, or its first instance where it is divided (MIG): CUDA sees one of them only."""
    current, _ = _or(nvml, (0, 0), lambda: nvml.nvmlDeviceGetMigMode(gpu))
    return nvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, 0) if current == nvml.NVML_DEVICE_MIG_ENABLE else gpu


def _speed(nvml: Any, gpu: Any) -> int:
    """Cores times MHz; 0 where the driver cannot tell."""
    cores = _or(nvml, 0, lambda: nvml.nvmlDeviceGetNumGpuCores(gpu))
    return int(cores * _or(nvml, 0, lambda: nvml.nvmlDeviceGetMaxClockInfo(gpu, nvml.NVML_CLOCK_SM)))


def _or(nvml: Any, otherwise: Any, ask: Callable[[], Any]) -> Any:
    """What is asked, or `otherwise` where this card or driver does not know of such a thing."""
    try:
        return ask()
    except (nvml.NVMLError_NotSupported, nvml.NVMLError_FunctionNotFound):
        return otherwise
