"""A tiny tokenizer of Qwen3's kind, with a chat template as short as can be."""

from transformers import Qwen2Tokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

_CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)


def tokenizer() -> Qwen2Tokenizer:
    """Bytes only: every word is spelt out."""
    marks = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    words = Qwen2Tokenizer(vocab={byte: n for n, byte in enumerate([*bytes_to_unicode().values(), *marks])}, merges=[])
    words.add_special_tokens({"additional_special_tokens": marks[1:]})
    words.chat_template = _CHAT
    return words
