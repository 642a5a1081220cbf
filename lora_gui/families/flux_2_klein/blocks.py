"""The blocks of diffusers' transformer_flux2.py in fewer kernels while they learn; the same up to rounding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from diffusers.models.transformers import transformer_flux2 as library
from torch import nn

from lora_gui.families.shared import fused

Modulation = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # shift, 1 + scale and gate, (B, 1, C) each


def fuse(network: nn.Module) -> None:
    """Let the blocks of a network learn so."""
    shared = _Shared()
    forwards: dict[type, Callable[..., Any]] = {
        library.Flux2SingleTransformerBlock: shared.single,
        library.Flux2TransformerBlock: shared.double,
        library.Flux2ParallelSelfAttention: shared.parallel,
        library.Flux2Attention: shared.joint,
        library.Flux2SwiGLU: lambda module, x: fused.swiglu(x),
    }
    for module in network.modules():
        if (forward := forwards.get(type(module))) is not None:
            fused.while_learning(module, forward)


class _Shared:
    """What all blocks of a pass share, made once: what they are modulated by, and how places turn queries and keys."""

    def __init__(self) -> None:
        self._of: dict[int, tuple[torch.Tensor, list[Modulation]]] = {}  # by which of the three it is
        self._angles: Any = None
        self._turns: Any = None

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


    def turned(self, query: torch.Tensor, key: torch.Tensor, angles: Any) -> Sequence[torch.Tensor]:
        """Queries and keys (B, S, heads, D) at their places."""
        if angles is not self._angles:
            self._angles, self._turns = angles, fused.turns(*angles)
        return fused.both_turned(query, key, *self._turns)

    def parallel(self, attn: Any, hidden_states: torch.Tensor, image_rotary_emb: Any, **unused: Any) -> torch.Tensor:
        """Attention and feed-forward side by side."""
        inner, further = attn.inner_dim, attn.mlp_hidden_dim * attn.mlp_mult_factor
        parts = attn.to_qkv_mlp_proj(hidden_states).split([inner, inner, inner, further], -1)
        query, key, value = _heads(attn, parts[:3])
        query, key = self.turned(attn.norm_q(query), attn.norm_k(key), image_rotary_emb)
        attended = library.dispatch_attention_fn(query, key, value).flatten(2)
        return attn.to_out(torch.cat([attended, attn.mlp_act_fn(parts[3])], -1))

    def joint(
        self, attn: Any, hidden_states: torch.Tensor, encoder_hidden_states: torch.Tensor, image_rotary_emb: Any,
        **unused: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
        """Attention of text and picture together, each by layers of its own."""
        x, text = hidden_states, encoder_hidden_states
        query, key, value = _heads(attn, (attn.to_q(x), attn.to_k(x), attn.to_v(x)))
        of_text = _heads(attn, (attn.add_q_proj(text), attn.add_k_proj(text), attn.add_v_proj(text)))
        query = torch.cat([attn.norm_added_q(of_text[0]), attn.norm_q(query)], 1)
        key = torch.cat([attn.norm_added_k(of_text[1]), attn.norm_k(key)], 1)
        query, key = self.turned(query, key, image_rotary_emb)
        attended = library.dispatch_attention_fn(query, key, torch.cat([of_text[2], value], 1)).flatten(2)
        first, rest = attended.split([text.shape[1], x.shape[1]], 1)
        return attn.to_out[0](rest), attn.to_add_out(first)


def _heads(attn: Any, parts: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    return [one.unflatten(-1, (-1, attn.head_dim)) for one in parts]


def _fed_forward(layer: nn.Module, norm: nn.LayerNorm, x: torch.Tensor, modulation: Modulation) -> torch.Tensor:
    shift, scale, gate = modulation
    return torch.addcmul(x, gate, layer(fused.modulated(norm, x, scale, shift)))
