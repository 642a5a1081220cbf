"""Blocks of a network compiled one by one while it learns (torch.compile), where a compiler is at hand and it is asked.

Block by block one compilation serves all that are alike, in a tenth of the time of a whole network. The fused layers of
the adapter stay as they are, since they write gradients into buffers, which a compiler may not reorder: between them
the rest of a block is compiled. What cannot be compiled runs as it is.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from lora_gui.engine.load import offload
from lora_gui.protocol.events import Note

COMPILER = "triton"  # what torch's own backend needs on a card


def compile_blocks(parts: dict[str, nn.Module], device: torch.device, backend: str = "inductor") -> Iterator[Note]:
    """Compile them at their first use, once the adapter is fused; a sentence where that cannot be."""
    if backend == "inductor" and (device.type != "cuda" or importlib.util.find_spec(COMPILER) is None):
        yield Note("Blocks are compiled on NVIDIA cards, with Triton installed; here they run as they are.")
        return
    _compiler().config.suppress_errors = True  # what fails runs as it is, and stands in the log
    for root in parts.values():
        for module in root.modules():
            if isinstance(module, BaseTunerLayer):
                module.forward = torch.compiler.disable(module.forward)
        for _, block in offload.blocks(root):
            block.compile(backend=backend, dynamic=True)


def _compiler() -> Any:
    """torch._dynamo, whole: see lean.py."""
    return importlib.import_module("torch._dynamo")
