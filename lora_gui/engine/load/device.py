"""The device that the work is done on, and its compute dtype, which older cards choose for themselves."""

import gc
import os
import sys
from typing import Any

import psutil
import torch

from lora_gui.facts import Facts
from lora_gui.settings import TrainSettings

Capability = tuple[int, int] | None  # compute capability of a CUDA card; None for any other device
_BF16_SINCE = (8, 0)  # older cards, up to RTX 20xx, compute bf16 beside their tensor cores: at a quarter of the speed
_TURING, _BROKEN = (7, 5), "GeForce GTX 16"  # without tensor cores: some of the fp16 of cuDNN is wrong there
_OURS = 0.95  # of a card under Windows, which draws the desktop with the rest
_DTYPES = {  # quantised weights are dequantised to bf16
    "fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "int8": torch.bfloat16, "nf4": torch.bfloat16,
}  # fmt: skip


def pick() -> torch.device:
    """The fastest device of this computer: CUDA, then MPS, then CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def prepare(device: torch.device) -> None:
    """Global settings of torch for speed: denormals flushed and threads bounded on a CPU, TF32 on a GPU.

    Windows moves what a card has no room for to the computer's memory, where a step takes many times as long; a bound
    makes it a refusal, which a run meets by itself with less.
    """
    if device.type == "cpu":
        torch.set_flush_denormal(True)
        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(_cores())
    else:
        torch.set_float32_matmul_precision("high")
    if device.type == "cuda" and capability(device) == _TURING and _BROKEN in torch.cuda.get_device_name(device):
        torch.backends.cudnn.benchmark = True  # what it chooses untried gives NaN: A1111's pull request 4407
    if device.type == "cuda" and sys.platform == "win32":
        torch.cuda.set_per_process_memory_fraction(_OURS)


def capability(device: torch.device) -> Capability:
    """What the card can do, by NVIDIA's count."""
    return torch.cuda.get_device_capability(device) if device.type == "cuda" else None


def settled(settings: TrainSettings, unified: bool) -> tuple[TrainSettings, list[str]]:
    """How a training is done, and a sentence for each setting that cannot be done as it says.

    Where the card's memory is the computer's own (`unified`, a Mac) nothing can wait outside of it, and bitsandbytes
    has no kernel for its optimizer in 8 bits.
    """
    if not unified:
        return settings, []
    changes: dict[str, Any] = {}
    told = []
    if settings.optimizer == "adamw8bit":
        changes["optimizer"] = "adamw"
        told.append("8-bit AdamW does not work on the card of a Mac, so AdamW is used: it learns the same.")
    if settings.streamed_blocks or settings.gradient_checkpointing == "blocks_in_ram":
        changes |= {"streamed_blocks": 0, "gradient_checkpointing": "blocks"}
        told.append("The card of a Mac has no memory of its own, so nothing waits in the computer's memory meanwhile.")
    return settings.model_copy(update=changes), told


def dtype_of(precision: str) -> torch.dtype:
    """Compute dtype of a precision of the settings."""
    return _DTYPES[precision]


def training_dtype(
    precision: str, facts: Facts, capability: Capability, on_processor: bool = False
) -> tuple[torch.dtype, str]:
    """Compute dtype of a training, and a sentence where it is another than its precision says, or a slow one."""
    dtype, quick = dtype_of(precision), capability is None or capability >= _BF16_SINCE
    if on_processor and (own := _of_processor(dtype)) != dtype:
        if own == torch.bfloat16:
            return own, "Your processor is slow in fp16, so this is computed in bf16."
        return own, "Your processor is slow in 16 bits, so this is computed in fp32, which takes more memory."
    if dtype == torch.float32 or facts.learns_in_fp16 and (quick or dtype == torch.float16):
        return dtype, ""
    if facts.learns_in_fp16:
        return torch.float16, "Your card is quick in fp16 and slow in bf16, so this is computed in fp16."
    told = f"{facts.title} can overflow in fp16, so it is computed in bf16"
    if quick:
        return torch.bfloat16, f"{told}." if dtype == torch.float16 else ""
    return torch.bfloat16, f"{told}, in which your card is slow: each step takes up to four times as long."


def drawing_dtype(device: torch.device, precision: str, capability: Capability) -> torch.dtype:
    """Compute dtype of drawing: that of `precision`; where none is named fp16 on a GPU and fp32 on a CPU."""
    dtype = dtype_of(precision or ("fp32" if device.type == "cpu" else "fp16"))
    if is_processor(device, capability):
        return _of_processor(dtype)
    old = capability is not None and capability < _BF16_SINCE
    return torch.float16 if old and dtype == torch.bfloat16 else dtype


def is_processor(device: torch.device, capability: Capability) -> bool:
    """Whether no card computes."""
    return device.type == "cpu" and capability is None


def _of_processor(dtype: torch.dtype) -> torch.dtype:
    """What a processor is quick in, in place of `dtype`: of 16 bits bf16, and fp32 where it has no kernels for that, as
    those without AVX-512 have none."""
    has_bf16 = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if dtype != torch.float32 and has_bf16 else torch.float32


def empty_cache(device: torch.device) -> None:
    """Collect garbage, then return the allocator's cached blocks to the device."""
    gc.collect()  # an offloaded network refers to itself by its hooks
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def free(device: torch.device) -> float:
    """Bytes of its memory that can be had; what torch keeps and does not use is free, too."""
    if device.type != "cuda":
        return float(psutil.virtual_memory().available)
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return float(torch.cuda.mem_get_info(device)[0] + kept)


def _cores() -> int:
    """Physical cores this process may use; hyperthreads only get in each other's way."""
    physical = psutil.cpu_count(logical=False) or 1
    return min(physical, len(psutil.Process().cpu_affinity())) if hasattr(psutil.Process, "cpu_affinity") else physical
