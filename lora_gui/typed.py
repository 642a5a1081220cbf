"""Settings as people type them: other trainers' names, numbers with commas, lists, and choices in any spelling."""

import json
import re
from collections.abc import Iterable
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from lora_gui.errors import UserError, shown

# What sd-scripts, diffusers' examples, peft, ai-toolkit and A1111 call our settings.
NAMES = {
    "lr": "learning_rate",
    "unet_lr": "learning_rate",
    "text_encoder_lr": "text_encoder_learning_rate",
    "learning_rate_text": "text_encoder_learning_rate",
    "lr_scheduler": "scheduler",
    "lr_scheduler_type": "scheduler",
    "lr_scheduler_num_cycles": "restarts",
    "lr_warmup_steps": "warmup_steps",
    "warmup": "warmup_steps",
    "max_train_steps": "steps",
    "train_steps": "steps",
    "num_inference_steps": "steps",
    "sampling_steps": "steps",
    "dim": "rank",
    "network_dim": "rank",
    "lora_rank": "rank",
    "r": "rank",
    "network_alpha": "alpha",
    "lora_alpha": "alpha",
    "optimizer_type": "optimizer",
    "optim": "optimizer",
    "batch": "batch_size",
    "train_batch_size": "batch_size",
    "gradient_accumulation": "accumulation",
    "gradient_accumulation_steps": "accumulation",
    "clip_grad_norm": "max_grad_norm",
    "caption_dropout_rate": "caption_dropout",
    "snr_gamma": "min_snr_gamma",
    "ema": "ema_decay",
    "algo": "adapter",
    "network_type": "adapter",
    "factor": "lokr_factor",
    "decompose_factor": "lokr_factor",
    "use_dora": "dora",
    "lora_decompose": "dora",
    "scale_weight_norms": "max_norm",
    "loraplus_lr_ratio": "lora_plus",
    "loraplus_unet_lr_ratio": "lora_plus",
    "loss_type": "loss",
    "debiased_estimation_loss": "debiased",
    "flip_aug": "flip",
    "blocks_to_swap": "streamed_blocks",
    "save_every": "checkpoint_every",
    "save_every_n_steps": "checkpoint_every",
    "sample_every_n_steps": "sample_every",
    "prompts": "sample_prompts",
    "negative": "negative_prompt",
    "cfg": "guidance",
    "cfg_scale": "guidance",
    "guidance_scale": "guidance",
    "batch_count": "count",
    "n_iter": "count",
    "sampler_name": "sampler",
    "schedule_type": "schedule",
    "denoising_strength": "denoising",
    "init_image": "picture",
    "subseed": "variation_seed",
    "subseed_strength": "variation",
    "variation_strength": "variation",
    "hr_scale": "upscale",
    "hires_upscale": "upscale",
    "w": "width",
    "h": "height",
}
_CHOICES = {  # likewise, of values
    "constantwithwarmup": "constant",
    "adam8bit": "adamw8bit",
    "bfloat16": "bf16",
    "float16": "fp16",
    "float32": "fp32",
    "8bit": "int8",
    "4bit": "nf4",
}
_PAIR = re.compile(r"\(?\[?(\d{2,4})\s*[,x×*]\s*(\d{2,4})\]?\)?")  # 512,512 and 512x768
_SIDES = ("resolution", "sample_resolution")  # of which there is one number, for pictures of any shape
_SEPARATORS = {"sample_prompts": r"[;\n]"}  # prompts hold commas of their own


def read(settings: type[BaseModel], pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Values for `check` from names and texts. Raises UserError where a number can be read in two ways.

    What is not known stays as it was typed: `check` has the sentence for it.
    """
    values: dict[str, Any] = {}
    for typed, text in pairs:
        name = _name(settings, typed)
        if name in ("size", "resolution") and "width" in settings.model_fields:
            values |= dict(zip(("width", "height"), _sides(text), strict=True))
        else:
            values[name] = _value(settings, name, text.strip())
    return values


def number(text: str, whole: bool = False) -> int | float | str:
    """The number in `text`, with commas, points and gaps as they are used anywhere; the text where it holds none.

    `whole` says that it counts something. Raises UserError where it can be read in two ways.
    """
    plain = re.sub(r"(?<=\d)[\s_'’](?=\d{3}(?!\d))", "", text.strip())
    sign, digits = (plain[0], plain[1:]) if plain[:1] in ("+", "-") else ("", plain)
    if re.fullmatch(r"\d{1,3}(,\d{3})+\.\d+|\d{1,3}(,\d{3}){2,}", digits):
        digits = digits.replace(",", "")  # 1,000.5
    elif re.fullmatch(r"\d{1,3}(\.\d{3})+,\d+|\d{1,3}(\.\d{3}){2,}", digits):
        digits = digits.replace(".", "").replace(",", ".")  # 1.000,5
    elif re.fullmatch(r"[1-9]\d{0,2},\d{3}", digits) and whole:
        digits = digits.replace(",", "")
    elif re.fullmatch(r"[1-9]\d{0,2}(,\d{3}|\.\d{3})", digits) and (whole or "," in digits):
        few, many = digits.replace(",", "."), re.sub("[.,]", "", digits)
        ways = f"{float(few):g} or {many}"
        raise UserError(f"{shown(text)} can be read in two ways: {ways}.", "Write the one that you mean.")
    elif re.fullmatch(r"\d*,\d+([eE][+-]?\d+)?", digits):
        digits = digits.replace(",", ".")  # 0,5
    try:
        if "_" in digits:
            return text
        return int(sign + digits) if digits.isdecimal() else float(sign + digits)
    except ValueError:
        return text


def _name(settings: type[BaseModel], typed: str) -> str:
    plain = typed.strip().lstrip("-").casefold().replace("-", "_").replace(" ", "_")
    found = plain if plain in settings.model_fields else NAMES.get(plain, plain)
    known = found in settings.model_fields or found in ("size", "resolution")
    return found if known else typed.strip()


def _value(settings: type[BaseModel], name: str, text: str) -> Any:
    kind = settings.model_fields[name].annotation if name in settings.model_fields else str
    if get_origin(kind) is tuple:
        return _listed(text, _SEPARATORS.get(name, r"[,;\s]"))
    if get_origin(kind) is Literal:
        return _choice(text, get_args(kind))
    if name in _SIDES and (pair := _PAIR.fullmatch(text)):
        if int(pair[1]) != int(pair[2]):
            what = f"The resolution is one number, and {shown(text)} has two."
            raise UserError(what, "Name one; pictures keep the shapes they have.")
        return int(pair[1])
    if kind in (int, float):
        return number(text, kind is int)
    return text if kind is bool else _unquoted(text)


def _sides(text: str) -> tuple[Any, Any]:
    """Width and height, from two numbers or one."""
    pair = _PAIR.fullmatch(text.strip())
    return (int(pair[1]), int(pair[2])) if pair else (number(text, True), number(text, True))


def _listed(text: str, separator: str) -> tuple[Any, ...]:
    for written in (text, f"[{text}]"):  # JSON, with its brackets or without
        try:
            found = json.loads(written)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, list) and all(isinstance(one, str) for one in found):
            return tuple(found)
    inner = text[1:-1] if text[:1] + text[-1:] in ("[]", "()") else text
    parts = (_unquoted(part.strip()) for part in re.split(separator, inner))
    return tuple(part for part in parts if part)


def _choice(text: str, known: tuple[str, ...]) -> str:
    plain = _letters(_unquoted(text))
    return next((one for one in known if _letters(one) == plain), _CHOICES.get(plain, text))


def _letters(text: str) -> str:
    return re.sub(r"[\W_]", "", text).casefold()


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text
