"""Gradient checkpointing: what a network recomputes in the backward, and whether what it keeps waits in RAM meanwhile.

Knows no family: blocks are those that diffusers checkpoints, feed-forwards go by the names that its classes give them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from lora_gui.engine.load.loading import can_checkpoint_gradients
from lora_gui.engine.train.activations import InRam
from lora_gui.settings import Recomputing, TrainSettings

_FEED_FORWARDS = ("ff", "ff_context", "feed_forward", "channelwise")  # attributes of blocks
_OF_BLOCKS = ("blocks", "blocks_in_ram")


def wanted(settings: TrainSettings, device: torch.device) -> Recomputing:
    """What these settings ask for. An offloaded block has to be run again anyway, and some devices have only RAM."""
    asked = settings.gradient_checkpointing
    if asked == "blocks_in_ram" and device.type in ("cpu", "mps"):
        return "blocks"
    return "blocks" if settings.streamed_blocks and asked not in _OF_BLOCKS else asked


def apply(root: Any, how: Recomputing, device: torch.device) -> InRam | None:
    """Let a network recompute so from now on, and no longer as it did before; what is learnt is the same bit for bit.

    One that cannot be checkpointed recomputes its feed-forwards at most. Returns what keeps activations in RAM, if so.
    """
    root.__dict__.pop("forward", None)
    whole = can_checkpoint_gradients(root)
    if whole:
        root.disable_gradient_checkpointing()
    for name, module in root.named_modules():
        if name.rpartition(".")[2] in _FEED_FORWARDS:
            module.__dict__.pop("forward", None)
            if how == "feed_forward":
                module.forward = _Again(module.forward)
    if how not in _OF_BLOCKS or not whole:
        return None
    root.enable_gradient_checkpointing(_again)
    if how != "blocks_in_ram":
        return None
    kept = InRam(root, device)
    root.forward = kept.forward
    return kept


def _again(run: Callable[..., Any], *args: Any) -> Any:
    """Without the state of random numbers, which frozen networks do not draw: keeping it costs each block a wait."""
    return checkpoint(run, *args, use_reentrant=False, preserve_rng_state=False)


class _Again:
    """A module's forward, recomputed where gradients are kept."""

    def __init__(self, forward: Callable[..., Any]) -> None:
        self._forward = forward

    def __call__(self, *args: Any) -> Any:
        return _again(self._forward, *args) if torch.is_grad_enabled() else self._forward(*args)
