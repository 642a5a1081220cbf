"""The device that the work is done on, and its compute dtype."""

import gc
import os

import psutil
import torch

_DTYPES = {  # quantised weights are dequantised to bf16
    "fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "int8": torch.bfloat16, "nf4": torch.bfloat16,
}  # fmt: skip


def pick() -> torch.device:
    """The fastest device of this computer: CUDA, then MPS, then CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def prepare(device: torch.device) -> None:
    """Global settings of torch for speed: denormals flushed and threads bounded on a CPU, TF32 on a GPU."""
    if device.type == "cpu":
        torch.set_flush_denormal(True)
        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(_cores())
    else:
        torch.set_float32_matmul_precision("high")


def dtype_of(precision: str) -> torch.dtype:
    """Compute dtype of a precision of the settings."""
    return _DTYPES[precision]


def drawing_dtype(device: torch.device) -> torch.dtype:
    """Compute dtype of drawing where no precision is named: fp16 on a GPU, fp32 on a CPU."""
    return torch.float32 if device.type == "cpu" else torch.float16


def empty_cache(device: torch.device) -> None:
    """Collect garbage, then return the allocator's cached blocks to the device."""
    gc.collect()  # an offloaded network refers to itself by its hooks
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def _cores() -> int:
    """Physical cores this process may use; hyperthreads only get in each other's way."""
    physical = psutil.cpu_count(logical=False) or 1
    return min(physical, len(psutil.Process().cpu_affinity())) if hasattr(psutil.Process, "cpu_affinity") else physical
