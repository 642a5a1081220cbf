"""Captioners that write: BLIP, BLIP-2, Florence-2 and Qwen-VL, by the classes that transformers has itself.

No code of a model's folder is ever run, and no weights are read but .safetensors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import transformers
from PIL import Image
from transformers import AutoTokenizer

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.formats import captioners

if TYPE_CHECKING:
    from lora_gui.engine.caption.describe import Describer, Opening

TOKENS = 60  # of a description, at most
MOST_PIXELS = 768 * 768  # of a picture for Qwen-VL, whose tokens grow with them: 28 x 28 px each
# By what the folder's config.json calls itself.
_CLASSES = {
    "blip": ("BlipForConditionalGeneration", "BlipProcessor"),
    "blip-2": ("Blip2ForConditionalGeneration", "Blip2Processor"),
    "florence2": ("Florence2ForConditionalGeneration", "Florence2Processor"),
    "qwen2_vl": ("Qwen2VLForConditionalGeneration", ""),
    "qwen2_5_vl": ("Qwen2_5_VLForConditionalGeneration", ""),
    "qwen3_vl": ("Qwen3VLForConditionalGeneration", ""),
    "clip": ("CLIPModel", ""),
}
ASKED = "Describe this picture in one short sentence."
LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}


def blip(opening: Opening) -> Describer:
    """Beam search as in Li et al. 2022, section 5.2: three beams."""
    model, processor = network(opening), _processor(opening, _blip_pictures(opening))
    return _describer(opening, model, processor.tokenizer, _seen_by(processor), num_beams=3)


def blip2(opening: Opening) -> Describer:
    """Without a question it goes on from the picture alone (Li et al. 2023, section 3.2)."""
    pictures = _blip_pictures(opening)
    model = network(opening)
    queries = _told(opening, "num_query_tokens") or model.config.num_query_tokens
    processor = _processor(opening, pictures, num_query_tokens=queries)
    before = 0 if model.config.text_config.is_encoder_decoder else model.config.num_query_tokens + 1  # and its start
    return _describer(opening, model, processor.tokenizer, _seen_by(processor), before)


def florence(opening: Opening) -> Describer:
    """Its task of short captions."""
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    model = network(opening)
    pictures = CLIPImageProcessorPil.from_pretrained(opening.folder, **LOCAL)
    more = _told(opening, "num_additional_image_tokens")
    processor = _processor(opening, pictures, num_additional_image_tokens=more)
    return _describer(opening, model, processor.tokenizer, _seen_by(processor, "<CAPTION>"), num_beams=3)


def qwen(opening: Opening) -> Describer:
    """Asked in words, greedily answered. Its processor as a whole would ask for torchvision, for films."""
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    model = network(opening)
    pictures = Qwen2VLImageProcessorPil.from_pretrained(opening.folder, **LOCAL)
    pictures.size["longest_edge"] = min(pictures.size["longest_edge"], MOST_PIXELS)
    words = AutoTokenizer.from_pretrained(opening.folder, **LOCAL)
    words.padding_side = "left"  # so that several answers begin at the same place
    content = [{"type": "image"}, {"type": "text", "text": opening.question or ASKED}]
    asked = words.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    place = words.convert_ids_to_tokens(model.config.image_token_id)

    def given(images: Sequence[Image.Image]) -> Any:
        seen = pictures(images=list(images), return_tensors="pt")
        each = seen["image_grid_thw"].prod(dim=1) // pictures.merge_size**2  # tokens of each picture
        texts = [asked.replace(place, place * int(count)) for count in each]
        seen.update(words(texts, padding=True, return_tensors="pt"))
        seen["mm_token_type_ids"] = (seen["input_ids"] == model.config.image_token_id).int()
        return seen

    return _describer(opening, model, words, given, before=None)


def network(opening: Opening) -> Any:
    """The model on its device. Raises UserError where weights are missing, which transformers would make up."""
    model, told = getattr(transformers, _names(opening)[0]).from_pretrained(
        opening.folder, dtype=opening.room.dtype, use_safetensors=True, output_loading_info=True, local_files_only=True
    )
    if told["missing_keys"]:
        what = f"The weights in {opening.folder.name} are not whole: {len(told['missing_keys'])} tensors are missing."
        raise UserError(what, captioners.AGAIN)
    return model.eval().to(opening.room.device)


def _names(opening: Opening) -> tuple[str, str]:
    """The classes of the model and its processor. Raises UserError where this transformers has them not."""
    said = files.read_json(opening.folder / captioners.CONFIG, captioners.LIMIT)
    names = _CLASSES[said["model_type"]]
    if not all(hasattr(transformers, name) for name in names if name):
        raise UserError(f"{opening.folder.name} needs a newer version of transformers.", "Start the app anew.")
    return names


def _told(opening: Opening, name: str) -> Any:
    """What the folder says of its processor; 0 where it does not."""
    said = files.read_json(opening.folder / "processor_config.json")
    return said.get(name, 0) if isinstance(said, dict) else 0


def _processor(opening: Opening, pictures: Any, **more: Any) -> Any:
    """Made of its parts: read as a whole, it would look for torchvision, which nothing else here needs."""
    kind = getattr(transformers, _names(opening)[1])
    return kind(pictures, AutoTokenizer.from_pretrained(opening.folder, **LOCAL), **more)


def _blip_pictures(opening: Opening) -> Any:
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    return BlipImageProcessorPil.from_pretrained(opening.folder, **LOCAL)


def _seen_by(processor: Any, text: str = "") -> Callable[[Sequence[Image.Image]], Any]:
    def given(images: Sequence[Image.Image]) -> Any:
        said = {"text": [text] * len(images)} if text else {}
        return processor(images=list(images), return_tensors="pt", **said)

    return given


def _describer(
    opening: Opening,
    model: Any,
    words: Any,
    given: Callable[[Sequence[Image.Image]], Any],
    before: int | None = 0,
    **how: Any,
) -> Describer:
    """`before` so many tokens of the answer are no words of it; None is as many as were asked with.

    No sampling: the same picture is described the same way each time.
    """

    def describe(images: Sequence[Image.Image]) -> list[str]:
        inputs = given(images).to(opening.room.device, opening.room.dtype)
        ids = model.generate(**inputs, do_sample=False, max_new_tokens=TOKENS, **how)
        first = inputs["input_ids"].shape[1] if before is None else before
        found: list[str] = words.batch_decode(ids[:, first:], skip_special_tokens=True)
        return found

    return describe
