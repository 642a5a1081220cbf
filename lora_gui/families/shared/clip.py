"""Captions through the CLIP text encoders."""

from __future__ import annotations

from typing import Any

import torch

TOKENS = 77  # of a caption, at full size


def token_ids(tokenizer: Any, captions: list[str], device: torch.device) -> torch.Tensor:
    """Each caption as one row of tokens, cut or filled up to the encoder's length; (B, 77)."""
    return tokenizer(
        captions, padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt"
    ).input_ids.to(device)


def states(encoder: Any, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The states before the last layer (B, 77, C), and the first output: (B, C) where there is a projection."""
    output = encoder(ids, output_hidden_states=True)
    return output.hidden_states[-2], output[0]
