"""The blocks of diffusers' transformer_flux2.py in fewer kernels while they learn; the same up to rounding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers.models.transformers import transformer_flux2 as library
from torch import nn

from lora_gui.families.shared import fused

Modulation = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # shift, 1 + scale and gate, (B, 1, C) each


def fuse(network: nn.Module) -> None:
    """Let the blocks of a network learn so."""
    modulations = _Modulations()
    forwards: dict[type, Callable[..., Any]] = {
        library.Flux2SingleTransformerBlock: modulations.single,
        library.Flux2TransformerBlock: modulations.double,
        library.Flux2SwiGLU: lambda module, x: fused.swiglu(x),
    }
    for module in network.modules():
        if (forward := forwards.get(type(module))) is not None:
            fused.while_learning(module, forward)


class _Modulations:
    """What all blocks of a pass are modulated by, taken apart once: they share it."""

    def __init__(self) -> None:
        self._of: dict[int, tuple[torch.Tensor, list[Modulation]]] = {}  # by how many there are in it

    def of(self, raw: torch.Tensor, which: int, sets: int) -> list[Modulation]:
        """Those in a raw modulation (B, 3 * sets * C)."""
        before = self._of.get(which)
        if before is not None and before[0] is raw:
            return before[1]
        found = [
            (shift, 1 + scale, gate) for shift, scale, gate in library.Flux2Modulation.split(raw, sets)
        ]
        if not raw.requires_grad:  # or a block that is run again would not do what it did at first
            self._of[which] = raw, found
        return found

    def single(
        self, block: Any, hidden_states: torch.Tensor, encoder_hidden_states: torch.Tensor | None,
        temb_mod: torch.Tensor, image_rotary_emb: Any = None, joint_attention_kwargs: dict[str, Any] | None = None,
        **unused: Any,
    ) -> torch.Tensor:  # fmt: skip
        """Of text and picture tokens side by side, as the transformer calls it."""
        ((shift, scale, gate),) = self.of(temb_mod, 0, 1)
        x = fused.modulated(block.norm, hidden_states, scale, shift)
        attended = block.attn(hidden_states=x, image_rotary_emb=image_rotary_emb, **(joint_attention_kwargs or {}))
        return torch.addcmul(hidden_states, gate, attended)

    def double(
        self, block: Any, hidden_states: torch.Tensor, encoder_hidden_states: torch.Tensor,
        temb_mod_img: torch.Tensor, temb_mod_txt: torch.Tensor, image_rotary_emb: Any = None,
        joint_attention_kwargs: dict[str, Any] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
        """Text, then picture."""
        (shift, scale, gate), mlp = self.of(temb_mod_img, 1, 2)
        (text_shift, text_scale, text_gate), text_mlp = self.of(temb_mod_txt, 2, 2)
        attended, text_attended = block.attn(
            hidden_states=fused.modulated(block.norm1, hidden_states, scale, shift),
            encoder_hidden_states=fused.modulated(
                block.norm1_context, encoder_hidden_states, text_scale, text_shift
            ),
            image_rotary_emb=image_rotary_emb,
            **(joint_attention_kwargs or {}),
        )
        x = torch.addcmul(hidden_states, gate, attended)
        text = torch.addcmul(encoder_hidden_states, text_gate, text_attended)
        return (
            _fed_forward(block.ff_context, block.norm2_context, text, text_mlp),
            _fed_forward(block.ff, block.norm2, x, mlp),
        )


def _fed_forward(layer: nn.Module, norm: nn.LayerNorm, x: torch.Tensor, modulation: Modulation) -> torch.Tensor:
    shift, scale, gate = modulation
    return torch.addcmul(x, gate, layer(fused.modulated(norm, x, scale, shift)))
