"""Captions through the CLIP text encoders."""

from __future__ import annotations

from typing import Any

import torch

from lora_gui.families.shared import token_limit

TOKENS = 77  # of a caption, at full size


def token_ids(tokenizer: Any, captions: list[str], device: torch.device) -> torch.Tensor:
    """Each caption as one row of tokens, cut or filled up to the encoder's length; (B, 77)."""
    ids: torch.Tensor = token_limit.rows(tokenizer, captions).input_ids
    return ids.to(device)


def weighted(states: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    """States (B, 77, C) times the weight of each token (B, 77), brought back to their mean, as A1111 does it.

    `EmphasisOriginal` in its modules/sd_emphasis.py. Without weights, the states as they are.
    """
    if weights is None or bool((weights == 1).all()):
        return states
    heavier = states * weights.to(states)[..., None]
    return heavier * (states.mean() / heavier.mean())


def skipping(encoder: Any, ids: torch.Tensor, skip: int) -> torch.Tensor:
    """The last states (B, 77, C); with `skip` > 1 those so many layers from the end, normalised as the last are.

    1 is the last layer, as A1111 counts; diffusers' `clip_skip` is one less.
    """
    if skip == 1:
        return encoder(ids)[0]  # type: ignore[no-any-return]
    every = encoder(ids, output_hidden_states=True).hidden_states
    return encoder.final_layer_norm(every[-min(skip, len(every))])  # type: ignore[no-any-return]


def states(encoder: Any, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The states before the last layer (B, 77, C), and the first output: (B, C) where there is a projection."""
    output = encoder(ids, output_hidden_states=True)
    return output.hidden_states[-2], output[0]
