"""Settings of SimpleTuner; what it has of LyCORIS stands in a file of its own, see `lycoris`.

Source: bghira/SimpleTuner, documentation/OPTIONS.md.
"""

from __future__ import annotations

import math
import re

from lora_gui.formats.trainers.carried import Carried, base_name, is_off, number, plain_name
from lora_gui.formats.trainers.parsing import Table

_OURS = {
    "lora_rank": "rank",
    "use_dora": "dora",
    "learning_rate": "learning_rate",
    "lr_scheduler": "scheduler",
    "lr_num_cycles": "restarts",
    "lr_warmup_steps": "warmup_steps",
    "adam_weight_decay": "weight_decay",
    "max_grad_norm": "max_grad_norm",
    "train_batch_size": "batch_size",
    "gradient_accumulation_steps": "accumulation",
    "gradient_checkpointing": "gradient_checkpointing",
    "caption_dropout_probability": "caption_dropout",
    "snr_gamma": "min_snr_gamma",
    "train_text_encoder": "train_text_encoder",
    "text_encoder_lr": "text_encoder_learning_rate",
    "checkpointing_steps": "checkpoint_every",
    "checkpoint_step_interval": "checkpoint_every",
    "validation_steps": "sample_every",
    "validation_step_interval": "sample_every",
    "seed": "seed",
}
_OPTIMIZERS = {"adamw_bf16": "adamw", "optimi-adamw": "adamw", "bnb-adamw": "adamw", "bnb-adamw-paged": "adamw",
               "bnb-adamw8bit": "adamw8bit", "bnb-adamw8bit-paged": "adamw8bit", "ao-adamw8bit": "adamw8bit",
               "prodigy": "prodigy"}  # fmt: skip
_MEANT_AT_ZERO = {"caption_dropout_probability", "max_grad_norm", "seed", "validation_step_interval", "snr_gamma",
                  "lr_warmup_steps"}  # fmt: skip
_TOLD = {"lora_alpha", "max_train_steps", "num_train_epochs", "resolution", "resolution_type", "mixed_precision",
         "base_model_precision", "optimizer", "model_type", "lora_type", "lycoris_config", "data_backend_config",
         "use_ema", "ema_decay", "validation_prompt", "prediction_type", "offset_noise", "noise_offset", "loss_type",
         "huber_c", "huber_schedule", "pretrained_model_name_or_path"}  # fmt: skip
# What this app does by itself, or in one way for all: caches, files, logs, samples, buckets.
_OWN_WAY = re.compile(
    r"(vae|cache|hub|push|tracker|aspect_bucket|validation|eval|model_card|webhook|checkpoint\w*_(total|rolling))_\w+"
    r"|(output|logging)_dir|report_to|resume_from_checkpoint|model_(type|family|flavour)|lora_(type|format)"
    r"|(disable|offload|quantize|dynamo|text_encoder_\d)_\w+|num_(validation|eval)_images|minimum_image_size"
    r"|attention_mechanism|write_batch_size|allow_tf32|ema_(device|cpu_only|foreach_disable)"
)


def is_it(table: Table) -> bool:
    return bool({"model_family", "data_backend_config"} & _plainly(table).keys())


def carried(table: Table) -> Carried:
    """In our names; an epoch is no unit here, and steps beside epochs counted for nothing there."""
    found, given = Carried("SimpleTuner"), _plainly(table)
    found.name = plain_name(given.get("hub_model_id"))
    path = given.get("pretrained_model_name_or_path")
    found.base = base_name(given.get("model_family") if is_off(path) else path)
    _steps(given, found)
    for theirs, ours in _OURS.items():
        if not is_off(given.get(theirs)) or theirs in given.keys() & _MEANT_AT_ZERO:
            found.take(ours, given[theirs], theirs)
    if not is_off(rank := given.get("lora_rank")):
        found.take("alpha", rank if is_off(given.get("lora_alpha")) else given["lora_alpha"], "lora_alpha")
    _resolution(given.get("resolution"), given.get("resolution_type"), found)
    _precision(given, found)
    _others(given, found)
    for theirs, value in given.items():
        if theirs in _TOLD or theirs in _OURS:
            continue
        if _OWN_WAY.fullmatch(theirs):
            found.see_to([theirs])
        else:
            found.leave(theirs, value)
    return found


def _plainly(table: Table) -> Table:
    """Names may be those of the command line there, and switches are often words."""
    words = {"true": True, "false": False}
    return {
        name.removeprefix("--"): words.get(value.lower(), value) if isinstance(value, str) else value
        for name, value in table.items()
    }


def _steps(given: Table, found: Carried) -> None:
    epochs, steps = given.get("num_train_epochs"), given.get("max_train_steps")
    if is_off(epochs):
        found.take("steps", None if is_off(steps) else steps, "max_train_steps")
        return
    found.leave("num_train_epochs", epochs, "a run is counted in steps here; those of your preset are taken")
    found.leave("max_train_steps", steps, "the epochs go before it there")


def _resolution(value: object, kind: object, found: Carried) -> None:
    """Pixels of a side, or millions of them where it is an area: 1 is 1024 x 1024 there."""
    size = number(value)
    if size is not None and 0 < size < 16:
        found.take("resolution", round(1024 * math.sqrt(size) / 8) * 8, "resolution")
    elif not is_off(value):
        found.take("resolution", value if size is None else round(size), "resolution")
    if kind == "pixel":
        found.tell("resolution_type", kind, "it is the shorter side there, and that of a square of the same area here")


def _precision(given: Table, found: Carried) -> None:
    held, mixed = str(given.get("base_model_precision", "no_change")), given.get("mixed_precision")
    known = {"int8": "int8", "nf4": "nf4", "no_change": {"no": "fp32"}.get(str(mixed), mixed)}
    if (name := held.partition("-")[0]) in known:
        found.take("precision", known[name], "base_model_precision" if held != "no_change" else "mixed_precision")
    else:
        found.leave("base_model_precision", held)


def _others(given: Table, found: Carried) -> None:
    name = given.get("optimizer")
    if str(name) in _OPTIMIZERS:
        found.take("optimizer", _OPTIMIZERS[str(name)], "optimizer")
    else:
        found.leave("optimizer", name)
    if given.get("model_type") not in (None, "lora"):
        found.leave("model_type", given["model_type"], "LoRAs alone are trained here")
    if given.get("lora_type") == "lycoris":
        why = "it is a file of its own, with the kind of the LoRA and its rank: choose it too"
        found.tell("lycoris_config", plain_name(given.get("lycoris_config")), why)
    backend = plain_name(given.get("data_backend_config"))
    found.leave("data_backend_config", backend, "it holds sizes, captions and repeats, and is not read")
    if given.get("use_ema") is True:
        found.take("ema_decay", given.get("ema_decay", 0.995), "ema_decay")
    if prompt := given.get("validation_prompt"):
        found.take("sample_prompts", [str(prompt)], "validation_prompt")
    if given.get("prediction_type") == "v_prediction":
        found.take("prediction", "v", "prediction_type")
    if given.get("offset_noise") is True:
        found.take("noise_offset", given.get("noise_offset", 0.1), "noise_offset")
    if given.get("loss_type") == "huber":
        for theirs in ("huber_c", "huber_schedule"):
            found.take(theirs, given.get(theirs), theirs)
        found.take("loss", "huber", "loss_type")
    elif given.get("loss_type") != "l2":
        found.leave("loss_type", given.get("loss_type"))
