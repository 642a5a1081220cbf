"""Captions through Qwen3, as bases read its inner states; its last layers are never loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoTokenizer, Qwen3Model

from lora_gui.families.base import Load, Reader

TOKENS = 512  # of a caption with what stands around it
_MARK = "\N{CURRENCY SIGN}"  # stands for a caption where only what goes before it is of interest


def load(folder: Path, layers: int, device: torch.device, dtype: torch.dtype, how: Load) -> Any:
    """Qwen3 up to the last layer that is used, by `how`; the state after it is as it comes out of that layer."""

    class Used(Qwen3Model):
        @classmethod
        def from_pretrained(cls, folder: Path, **given: Any) -> Any:
            return Qwen3Model.from_pretrained(folder, num_hidden_layers=layers, **given)

    encoder = how(Used, folder, device, dtype)
    encoder.norm = nn.Identity()  # stands after the very last layer only
    return encoder


def states(
    tokenizer: Any, encoder: Any, captions: list[str], thinking: bool
) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
    """The states after each layer, the embeddings first, each (B, 512, C), and a mask of the tokens (B, 512)."""
    asked = [_asked(tokenizer, caption, thinking) for caption in captions]
    rows = tokenizer(asked, padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt")
    mask = rows.attention_mask.to(encoder.device)
    found = encoder(
        input_ids=rows.input_ids.to(encoder.device), attention_mask=mask, output_hidden_states=True, use_cache=False
    )
    return found.hidden_states, mask


def reader(folder: Path, thinking: bool) -> Reader:
    """How much of a caption is read by the tokenizer in `folder`."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    before = _asked(tokenizer, _MARK, thinking).partition(_MARK)[0]
    return Reader(tokenizer, TOKENS - len(tokenizer(before).input_ids))


def _asked(tokenizer: Any, caption: str, thinking: bool) -> str:
    """A caption as what a person says in a conversation."""
    said = [{"role": "user", "content": caption}]
    return tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True, enable_thinking=thinking)
