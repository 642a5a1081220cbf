"""Tiny captioners with random weights, of the real classes and processors, saved as their makers publish them."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from tokenizers import Tokenizer, pre_tokenizers
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    BlipConfig,
    BlipForConditionalGeneration,
    CLIPConfig,
    CLIPModel,
    Florence2Config,
    Florence2ForConditionalGeneration,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from tests import tiny_clip, tiny_tokenizers

SIDE = 28  # px that they look at
# What one that was taught says of a colour.
TEXTS = {"red": "a woman with long hair in a garden", "blue": "a painting of a red fox in snow"}
_CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{% for one in message.content %}"
    "{% if one.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ one.text }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_MARKS = ["<|im_start|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
_SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
_SEEN = _SMALL | {"image_size": SIDE, "patch_size": 14}


def blip(folder: Path) -> Path:
    """As Salesforce/blip-image-captioning-base is laid out."""
    words = _words(pad_token="[PAD]", bos_token="[DEC]", sep_token="[SEP]", cls_token="[CLS]")
    text = _SMALL | {"vocab_size": len(words), "encoder_hidden_size": 32, "max_position_embeddings": 64}
    text |= {"bos_token_id": words.bos_token_id, "eos_token_id": words.sep_token_id, "is_decoder": True}
    text |= {"sep_token_id": words.sep_token_id, "pad_token_id": words.pad_token_id, "projection_dim": 16}
    config = BlipConfig(text_config=text, vision_config=_SEEN | {"projection_dim": 16}, projection_dim=16)
    _save(folder, BlipForConditionalGeneration(config), words, _blip_pictures())
    return folder


def taught(folder: Path, texts: Mapping[str, str] = TEXTS, steps: int = 75) -> Path:
    """A tiny BLIP that says a text of each colour, such as `red`, after it was taught for a moment."""
    torch.manual_seed(0)
    blip(folder)
    words = PreTrainedTokenizerFast.from_pretrained(folder)
    model = BlipForConditionalGeneration.from_pretrained(folder).train()
    pictures = BlipImageProcessorPil.from_pretrained(folder)
    pixels = pictures([Image.new("RGB", (64, 64), colour) for colour in texts], return_tensors="pt").pixel_values
    said = [f"[DEC]{text}[SEP]" for text in texts.values()]
    given = words(said, padding=True, add_special_tokens=False, return_tensors="pt")
    labels = given.input_ids.masked_fill(given.attention_mask == 0, -100)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        ids = {"input_ids": given.input_ids, "attention_mask": given.attention_mask}
        model(pixel_values=pixels, labels=labels, **ids).loss.backward()
        optimizer.step()
    model.eval().save_pretrained(folder)
    return folder


def blip2(folder: Path) -> Path:
    """As Salesforce/blip2-opt-2.7b: with the number of queries in the processor's own file."""
    words = _words(pad_token="<pad>", bos_token="</s>", eos_token="</s>", extra=["<image>"])
    text = {"model_type": "opt", "vocab_size": len(words), "hidden_size": 32, "ffn_dim": 64, "num_hidden_layers": 2}
    text |= {"num_attention_heads": 2, "word_embed_proj_dim": 32, "max_position_embeddings": 128}
    text |= {"tie_word_embeddings": False}
    text |= {"pad_token_id": words.pad_token_id, "bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id}
    queries = _SMALL | {"encoder_hidden_size": 32, "vocab_size": 20}
    image = words.convert_tokens_to_ids("<image>")
    config = Blip2Config(
        vision_config=_SEEN, qformer_config=queries, text_config=text, num_query_tokens=4, image_token_index=image
    )
    _save(folder, Blip2ForConditionalGeneration(config), words, _blip_pictures())
    said = {"num_query_tokens": 4, "processor_class": "Blip2Processor"}
    (folder / "processor_config.json").write_text(json.dumps(said))
    return folder


def florence(folder: Path) -> Path:
    """As florence-community/Florence-2-base."""
    marks = {"image_token": "<image>"}
    words = _words(
        pad_token="<pad>", bos_token="<s>", eos_token="</s>", extra=["<image>"], extra_special_tokens=marks
    )
    ids = {"pad_token_id": words.pad_token_id, "bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id}
    bart = {"model_type": "bart", "vocab_size": len(words), "d_model": 32, "max_position_embeddings": 128}
    bart |= {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    bart |= {"encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "decoder_start_token_id": words.eos_token_id} | ids
    seen = {"embed_dim": [8, 16], "depths": [1, 1], "num_heads": [2, 2], "num_groups": [2, 2], "projection_dim": 32}
    seen |= {"patch_size": [7, 3], "patch_stride": [4, 2], "patch_padding": [3, 1], "patch_prenorm": [False, True]}
    seen |= {"window_size": 4, "max_temporal_embeddings": 10, "max_position_embeddings": 50}
    config = Florence2Config(
        text_config=bart, vision_config=seen, image_token_id=words.convert_tokens_to_ids("<image>"), **ids
    )
    pictures = CLIPImageProcessorPil(
        size={"height": 64, "width": 64}, crop_size={"height": 64, "width": 64}, do_center_crop=False
    )
    pictures.image_seq_length = 65  # 8 x 8 places and one for all of them
    _save(folder, Florence2ForConditionalGeneration(config), words, pictures)
    return folder


def qwen(folder: Path, generation: str = "2") -> Path:
    """As Qwen/Qwen2-VL-2B-Instruct and its two successors."""
    config_of, model_of = {
        "2": (Qwen2VLConfig, Qwen2VLForConditionalGeneration),
        "2.5": (Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration),
        "3": (Qwen3VLConfig, Qwen3VLForConditionalGeneration),
    }[generation]
    words = _words(tiny_tokenizers.qwen, pad_token="<|endoftext|>", eos_token="<|im_end|>", extra=_MARKS)
    ids = {name: words.convert_tokens_to_ids(mark) for name, mark in (
        ("image_token_id", "<|image_pad|>"), ("video_token_id", "<|video_pad|>"),
        ("vision_start_token_id", "<|vision_start|>"), ("vision_end_token_id", "<|vision_end|>"))}  # fmt: skip
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3], "mrope_interleaved": True}
    text: dict[str, Any] = _SMALL | {"vocab_size": len(words), "num_key_value_heads": 1, "rope_parameters": rope}
    text |= {"max_position_embeddings": 1024, "pad_token_id": words.pad_token_id, "eos_token_id": words.eos_token_id}
    text |= {"head_dim": 16, "bos_token_id": None}
    seen = {"depth": 1, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2, "intermediate_size": 64}
    seen |= {"patch_size": 14, "out_hidden_size": 32, "deepstack_visual_indexes": [0], "num_position_embeddings": 16}
    seen |= {"window_size": 56, "fullatt_block_indexes": [0]}
    config = config_of(text_config=text, vision_config=seen, **ids)
    words.chat_template = _CHAT
    _save(folder, model_of(config), words, Qwen2VLImageProcessorPil(min_pixels=28 * 28, max_pixels=56 * 56))
    return folder


def clip(folder: Path) -> Path:
    """As openai/clip-vit-base-patch32."""
    words = tiny_clip.tokenizer(folder)
    text = tiny_clip.config(words, 32).to_dict()
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=_SEEN, projection_dim=16))
    pictures = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    _save(folder, model, words, pictures)
    return folder


ALL: dict[str, Callable[[Path], Path]] = {
    "blip": blip, "blip2": blip2, "florence": florence, "qwen": qwen, "interrogator": clip,
}  # fmt: skip


def _words(kind: Callable[[], Tokenizer] = tiny_tokenizers.qwen, extra: Any = (), **special: Any) -> Any:
    """A tokenizer of a few hundred pieces, of which every text can be made."""
    found = kind()
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return PreTrainedTokenizerFast(tokenizer_object=found, additional_special_tokens=list(extra), **special)


def _blip_pictures() -> Any:
    return BlipImageProcessorPil(size={"height": SIDE, "width": SIDE})


def _save(folder: Path, model: Any, words: Any, pictures: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    model.eval().save_pretrained(folder)
    words.save_pretrained(folder)
    pictures.save_pretrained(folder)
