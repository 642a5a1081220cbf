"""Settings of OneTrainer: its JSON of a preset or a whole configuration.

Source: Nerogar/OneTrainer, modules/util/config/TrainConfig.py and modules/util/enum.
"""

from __future__ import annotations

from typing import Any

from lora_gui.formats.trainers.carried import Carried, base_name, is_off, plain_name
from lora_gui.formats.trainers.parsing import Table

_OURS = {
    "lora_rank": "rank",
    "lora_alpha": "alpha",
    "learning_rate": "learning_rate",
    "learning_rate_warmup_steps": "warmup_steps",
    "learning_rate_cycles": "restarts",
    "batch_size": "batch_size",
    "gradient_accumulation_steps": "accumulation",
    "clip_grad_norm": "max_grad_norm",
    "resolution": "resolution",
    "offset_noise_weight": "noise_offset",
    "masked_training": "masked_loss",
    "unmasked_weight": "unmasked_weight",
    "seed": "seed",
    "lora_decompose": "dora",
}
_SCHEDULERS = {
    "CONSTANT": "constant",
    "LINEAR": "linear",
    "COSINE": "cosine",
    "COSINE_WITH_RESTARTS": "cosine_with_restarts",
    "COSINE_WITH_HARD_RESTARTS": "cosine_with_restarts",
}
_OPTIMIZERS = {"ADAMW": "adamw", "ADAMW_8BIT": "adamw8bit", "ADAM_8BIT": "adamw8bit", "ADAFACTOR": "adafactor",
               "PRODIGY": "prodigy", "ADAM": "adamw"}  # fmt: skip
_PRECISION = {"FLOAT_32": "fp32", "BFLOAT_16": "bf16", "FLOAT_16": "fp16", "INT_8": "int8", "NFLOAT_4": "nf4"}
_OFF = {"OFF": False, "ON": True, "CPU_OFFLOADED": True}
_SEEN_TO = {"__version", "workspace_dir", "cache_dir", "debug_mode", "debug_dir", "tensorboard", "latent_caching",
            "aspect_ratio_bucketing", "dataloader_threads", "train_device", "temp_device", "output_dtype",
            "output_model_format", "model_type", "output_model_destination", "base_model_name", "training_method",
            "peft_type", "lora_weight_dtype", "concept_file_name", "concepts", "sample_definition_file_name",
            "samples", "attention_mechanism", "compile", "validation", "backup_after", "backup_after_unit",
            "save_every_unit", "sample_after_unit", "include_train_config", "fallback_train_dtype", "train_dtype",
            "weight_dtype", "epochs", "optimizer", "unet", "prior", "transformer", "text_encoder", "text_encoder_2",
            "text_encoder_3", "text_encoder_4", "vae", "gradient_checkpointing", "learning_rate_scheduler",
            "loss_weight_fn", "loss_weight_strength", "layer_filter", "layer_filter_preset", "save_every",
            "sample_after", "sample_image_format", "samples_to_tensorboard", "effnet_encoder", "decoder",
            "decoder_text_encoder", "decoder_vqgan", "multi_gpu", "cloud", "secrets", "embedding", "config_version",
            "lora_layers", "lora_layer_preset", "layer_filter_regex", "timestep_distribution",
            "max_noising_strength", "min_noising_strength", "mse_strength", "loss_scaler",
            "learning_rate_scaler", "clear_cache_before_training", "save_filename_prefix",
            "only_cache", "continue_last_backup", "validate_after", "validate_after_unit",
            "lokr_dim", "lokr_decompose_factor", "lokr_full_matrix",
            "ema", "ema_decay", "ema_update_step_interval"}  # fmt: skip


def is_it(table: Table) -> bool:
    return "training_method" in table or "lora_rank" in table and "learning_rate" in table


def carried(table: Table) -> Carried:
    """In our names. Raises nothing: what is odd is left."""
    found = Carried("OneTrainer")
    found.name, found.base = plain_name(table.get("output_model_destination")), base_name(table.get("base_model_name"))
    for theirs, ours in _OURS.items():
        if theirs in table and not is_off(table[theirs]):
            found.take(ours, table[theirs], theirs)
    _chosen(table, found)
    _network(table, found)
    for theirs, value in table.items():
        if theirs in _SEEN_TO:
            found.see_to([theirs] * (not isinstance(value, dict) and theirs not in _READ))
        elif theirs not in _OURS and not isinstance(value, (dict, list)):
            found.leave(theirs, value)
    return found


_READ = {"learning_rate_scheduler", "train_dtype", "weight_dtype", "gradient_checkpointing", "loss_weight_fn", "epochs",
         "layer_filter", "output_model_destination", "base_model_name", "loss_weight_strength", "training_method",
         "peft_type", "lokr_dim", "lokr_decompose_factor", "lokr_full_matrix", "ema", "ema_decay"}  # fmt: skip


def _chosen(table: Table, found: Carried) -> None:
    for theirs, ours, known in (
        ("learning_rate_scheduler", "scheduler", _SCHEDULERS),
        ("gradient_checkpointing", "gradient_checkpointing", _OFF),
    ):
        value = table.get(theirs)
        if isinstance(value, (str, bool)) and not (value is True or value is False):
            if value in known:
                found.take(ours, known[value], theirs)
            else:
                found.leave(theirs, value)
    if table.get("training_method") not in (None, "LORA"):
        found.leave("training_method", table["training_method"], "LoRAs alone are trained here")
    if table.get("peft_type") == "LOKR":
        factor, whole = table.get("lokr_decompose_factor"), table.get("lokr_full_matrix")
        found.lokr("peft_type", factor, "lokr_decompose_factor", whole)
        found.take("rank", table.get("lokr_dim"), "lokr_dim")
    elif table.get("peft_type") not in (None, "LORA"):
        found.leave("peft_type", table["peft_type"], "LoRAs and LoKrs are trained here")
    if table.get("loss_weight_fn") == "MIN_SNR_GAMMA":
        found.take("min_snr_gamma", table.get("loss_weight_strength", 5), "loss_weight_strength")
    elif table.get("loss_weight_fn") == "DEBIASED_ESTIMATION":
        found.take("debiased", True, "loss_weight_fn")
    elif table.get("loss_weight_fn") not in (None, "CONSTANT"):
        found.leave("loss_weight_fn", table["loss_weight_fn"])
    if str(table.get("ema", "OFF")) != "OFF":
        found.take("ema_decay", table.get("ema_decay", 0.999), "ema_decay")
    found.leave("epochs", table.get("epochs"), "a run is counted in steps here; those of your preset are taken")
    if isinstance(layers := table.get("layer_filter"), str) and layers.strip():
        found.take("only_layers", [one.strip() for one in layers.split(",")], "layer_filter")


def _network(table: Table, found: Carried) -> None:
    """What stands in tables of their own: the optimizer, the denoiser, the text encoders."""
    optimizer = _inner(table, "optimizer")
    name = optimizer.get("optimizer", table.get("optimizer"))
    if isinstance(name, str) and name in _OPTIMIZERS:
        found.take("optimizer", _OPTIMIZERS[name], "optimizer")
    elif isinstance(name, str):
        found.leave("optimizer", name)
    if not is_off(optimizer.get("weight_decay")):
        found.take("weight_decay", optimizer["weight_decay"], "optimizer: weight_decay")
    denoiser = next((one for part in ("unet", "transformer", "prior") if (one := _inner(table, part))), {})
    held = denoiser.get("weight_dtype", table.get("weight_dtype", table.get("train_dtype")))
    if not is_off(denoiser.get("learning_rate")):
        found.take("learning_rate", denoiser["learning_rate"], "learning_rate of the denoiser")
    if str(held) in _PRECISION:
        found.take("precision", _PRECISION[str(held)], "weight_dtype")
    text = _inner(table, "text_encoder")
    if text.get("train") is True:
        found.take("train_text_encoder", True, "text_encoder: train")
        if not is_off(text.get("learning_rate")):
            found.take("text_encoder_learning_rate", text["learning_rate"], "text_encoder: learning_rate")
    if not is_off(text.get("dropout_probability")):
        found.take("caption_dropout", text["dropout_probability"], "text_encoder: dropout_probability")


def _inner(table: Table, name: str) -> dict[str, Any]:
    found = table.get(name)
    return found if isinstance(found, dict) else {}
