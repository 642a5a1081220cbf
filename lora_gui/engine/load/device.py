"""Which device the work is done on, and in which number format."""

import gc
import os

import psutil
import torch

_DTYPES = {  # where a base is held in whole numbers, all that is computed with them is bf16
    "fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "int8": torch.bfloat16, "nf4": torch.bfloat16,
}  # fmt: skip


def pick() -> torch.device:
    """The quickest device of this computer."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def prepare(device: torch.device) -> None:
    """Settings of torch that make work quicker and change no result that matters."""
    if device.type == "cpu":
        torch.set_flush_denormal(True)
        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(_cores())
    else:
        torch.set_float32_matmul_precision("high")


def dtype_of(precision: str) -> torch.dtype:
    """The number format that is computed in."""
    return _DTYPES[precision]


def drawing_dtype(device: torch.device) -> torch.dtype:
    """The number format to draw in: half precision where the device is made for it."""
    return torch.float32 if device.type == "cpu" else torch.float16


def empty_cache(device: torch.device) -> None:
    """Let go of what nobody uses, and give memory that torch only keeps at hand back to the device."""
    gc.collect()  # a network whose blocks are streamed refers to itself
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def _cores() -> int:
    """Cores this process may use; two threads of one core only get in each other's way."""
    physical = psutil.cpu_count(logical=False) or 1
    return min(physical, len(psutil.Process().cpu_affinity())) if hasattr(psutil.Process, "cpu_affinity") else physical
