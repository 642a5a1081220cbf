"""The settings that a LoRA file says it was trained with, as ours; what it says otherwise is left out and named."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from lora_gui.errors import SettingError
from lora_gui.formats import edit
from lora_gui.settings import TrainSettings, check

# kohya's fields, which other trainers write too, to our settings
_FIELDS = {
    "ss_network_dim": "rank",
    "ss_network_alpha": "alpha",
    "ss_max_train_steps": "steps",
    "ss_learning_rate": "learning_rate",
    "ss_lr_scheduler": "scheduler",
    "ss_optimizer": "optimizer",
    "ss_resolution": "resolution",
    "ss_batch_size_per_device": "batch_size",
    "ss_gradient_accumulation_steps": "accumulation",
    "ss_caption_dropout_rate": "caption_dropout",
    "ss_min_snr_gamma": "min_snr_gamma",
    "ss_noise_offset": "noise_offset",
    "ss_scale_weight_norms": "max_norm",
    "ss_debiased_estimation": "debiased",
    "ss_ema_decay": "ema_decay",
    "ss_loss_type": "loss",
    "ss_huber_c": "huber_c",
    "ss_huber_schedule": "huber_schedule",
    "ss_network_args.algo": "adapter",
    "ss_network_args.factor": "lokr_factor",
    "ss_network_args.dora_wd": "dora",
    "ss_network_args.rank_dropout": "rank_dropout",
    "ss_network_args.module_dropout": "module_dropout",
    "ss_network_args.loraplus_lr_ratio": "lora_plus",
    "ss_seed": "seed",
}
_SIZE = re.compile(r"\(?(\d{2,5})(?:, ?(\d{2,5}))?\)?")


def settings_of(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The settings in the metadata of a LoRA file, and the titles of those it says in a way that is none of ours.

    Raises UserError where it cannot be read.
    """
    fields, found, odd = edit.metadata(path), dict[str, Any](), list[str]()
    fields |= _network_args(fields.get("ss_network_args", ""))
    for field, setting in _FIELDS.items():
        if fields.get(field, "None") in ("None", "", "null"):
            continue
        value = _value(setting, fields[field])
        try:
            check(TrainSettings, {setting: value})
            found[setting] = value
        except SettingError:
            odd.append(TrainSettings.model_fields[setting].title or setting)
    return found, odd


def _network_args(text: str) -> dict[str, str]:
    """What is said of the LoRA itself, which kohya nests as JSON."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return {f"ss_network_args.{key}": str(value) for key, value in said.items()} if isinstance(said, dict) else {}


def _value(setting: str, text: str) -> Any:
    if setting == "resolution" and (size := _SIZE.fullmatch(text)):
        return int(size[1])
    if setting == "adapter":
        return {"locon": "lora"}.get(text, text)
    if setting == "lokr_factor":
        text = text.replace("-1", "0")
    if setting == "loss":
        return {"l2": "squared"}.get(text, text)
    if setting in ("scheduler", "optimizer"):
        return text.rpartition(".")[2].partition("(")[0].lower()
    try:
        number = json.loads(text.lower() if setting == "dora" else text)  # Python's True
    except (ValueError, RecursionError):
        return text
    counts = TrainSettings.model_fields[setting].annotation is int
    return int(number) if counts and isinstance(number, float) and number.is_integer() else number
