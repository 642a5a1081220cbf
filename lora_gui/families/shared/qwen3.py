"""Captions through Qwen3, of which bases read inner states; the layers behind those are never loaded."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn
from transformers import AutoTokenizer, Qwen3Model

from lora_gui.families.base import Load, Reader, whole
from lora_gui.families.shared import token_limit
from lora_gui.families.shared.latent import Encoders, LatentFamily

TOKENS = 512  # of a caption with what stands around it
_MARK = "\N{CURRENCY SIGN}"  # stands for a caption where only what goes before it is of interest


class Qwen3Family(LatentFamily):
    """A family that is conditioned on hidden states of Qwen3, which is asked with its chat template."""

    text_kinds = {"text_encoder": Qwen3Model}
    layers: ClassVar[int]  # of Qwen3, up to the last that is used
    thinking: ClassVar[bool]  # whether the chat template leaves room for thoughts

    def encoders(
        self,
        base: Path,
        device: torch.device,
        dtype: torch.dtype,
        load: Load = whole,
        captions: bool = True,
        pictures: bool = True,
    ) -> Encoders:
        return super().encoders(base, device, dtype, partial(_load, self.layers, load), captions, pictures)

    def reader(self, base: Path) -> Reader:
        tokenizer = AutoTokenizer.from_pretrained(base / "tokenizer")
        before = self._asked(tokenizer, _MARK).partition(_MARK)[0]
        return Reader(tokenizer, TOKENS - len(tokenizer(before).input_ids))

    def states(self, encoders: Encoders, captions: list[str]) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
        """The states after each layer, the embeddings first, each (B, 512, C), and a mask of the tokens (B, 512)."""
        tokenizer, encoder = encoders.tokenizers["text_encoder"], encoders.texts["text_encoder"]
        asked = [self._asked(tokenizer, caption) for caption in captions]
        rows = token_limit.rows(tokenizer, asked, TOKENS)
        mask = rows.attention_mask.to(encoder.device)
        found = encoder(
            input_ids=rows.input_ids.to(encoder.device), attention_mask=mask, output_hidden_states=True, use_cache=False
        )
        return found.hidden_states, mask

    def _asked(self, tokenizer: Any, caption: str) -> str:
        """A caption as what a person says in a conversation."""
        said = [{"role": "user", "content": caption}]
        return tokenizer.apply_chat_template(
            said, tokenize=False, add_generation_prompt=True, enable_thinking=self.thinking
        )


def _load(layers: int, how: Load, kind: Any, folder: Path, device: torch.device, dtype: torch.dtype) -> Any:
    """The first layers of Qwen3, by `how`; the last state is as it comes out of the last of them."""

    class Used(Qwen3Model):
        @classmethod
        def from_pretrained(cls, folder: Path, **given: Any) -> Any:
            return Qwen3Model.from_pretrained(folder, num_hidden_layers=layers, **given)

    encoder = how(Used, folder, device, dtype)
    encoder.norm = nn.Identity()  # stands after the very last layer only
    return encoder
