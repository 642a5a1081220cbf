"""What this machine can do at most, measured, and how much arithmetic a step is, counted."""

import tempfile
import time
from pathlib import Path

import torch

from lora_gui.engine.load import device
from lora_gui.engine.memory import networks
from lora_gui.engine.memory.phases import Planner
from lora_gui.families import family
from lora_gui.protocol.jobs import Base
from lora_gui.settings import TrainSettings
from tests.bench.programs import Work

SIDE, TIMES = 2048, 5  # of the square matrices that are multiplied


def matmul_peak(precision: str) -> float:
    """FLOP a second of the best of some large products of matrices."""
    where, dtype = device.pick(), device.dtype_of(precision)
    device.prepare(where)
    a, b = (torch.randn(SIDE, SIDE, device=where).to(dtype) for _ in range(2))
    best = min(_seconds(a, b) for _ in range(TIMES))
    return 2 * SIDE**3 / best


def _seconds(a: torch.Tensor, b: torch.Tensor) -> float:
    began = time.perf_counter()
    float((a @ b)[0, 0])  # also waits for a card
    return time.perf_counter() - began


def flop(work: Work) -> int:
    """Of one step: forward and backward of the network with its LoRA, nothing recomputed, no encoders."""
    base = Base(key="bench", title="", family="sd1", path=str(work.base))
    settings = TrainSettings(
        rank=work.rank, alpha=work.rank, layers=work.layers, precision=work.precision, batch_size=work.batch,
        resolution=work.resolution,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as cache:
        return Planner(networks.components(base), family(base.family), Path(cache)).train(settings).flop
