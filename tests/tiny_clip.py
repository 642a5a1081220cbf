"""A tiny CLIP tokenizer and configurations for CLIP text encoders of any width."""

import json
from pathlib import Path

from transformers import CLIPTextConfig, CLIPTokenizer

LENGTH = 16  # tokens


def tokenizer(folder: Path) -> CLIPTokenizer:
    """Letters only: every word is spelt out."""
    folder.mkdir(parents=True, exist_ok=True)
    letters = [chr(n) for n in range(33, 127)]
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    (folder / "vocab.json").write_text(json.dumps({word: n for n, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(
        vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"), model_max_length=LENGTH,
        bos_token="<|startoftext|>", eos_token="<|endoftext|>", unk_token="<|endoftext|>", pad_token="<|endoftext|>",
    )  # fmt: skip


def config(words: CLIPTokenizer, width: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(words), hidden_size=width, intermediate_size=2 * width, num_hidden_layers=3,
        num_attention_heads=2, max_position_embeddings=LENGTH, projection_dim=width,
        bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id,
    )  # fmt: skip
