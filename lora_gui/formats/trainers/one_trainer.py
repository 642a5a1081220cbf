"""Settings of OneTrainer: its JSON of a preset or a whole configuration.

Source: Nerogar/OneTrainer, modules/util/config/TrainConfig.py and modules/util/enum.
"""

from __future__ import annotations

import math
from typing import Any

from lora_gui.formats.trainers.carried import NOTHING_LIKE_IT, Carried, base_name, is_off, number, plain_name
from lora_gui.formats.trainers.parsing import Table

_OURS = {
    "lora_rank": "rank",
    "learning_rate": "learning_rate",
    "learning_rate_cycles": "restarts",
    "batch_size": "batch_size",
    "gradient_accumulation_steps": "accumulation",
    "clip_grad_norm": "max_grad_norm",
    "resolution": "resolution",
    "offset_noise_weight": "noise_offset",
    "masked_training": "masked_loss",
    "unmasked_weight": "unmasked_weight",
    "max_noising_strength": "learn_below",
    "seed": "seed",
    "lora_decompose": "dora",
}
_MEANT_AT_ZERO = {"clip_grad_norm", "offset_noise_weight", "seed"}  # and no clipping is none
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
            "peft_type", "lora_weight_dtype", "concept_file_name", "sample_definition_file_name",
            "samples", "attention_mechanism", "compile", "validation", "backup_after", "backup_after_unit",
            "save_every_unit", "sample_after_unit", "include_train_config", "fallback_train_dtype", "train_dtype",
            "weight_dtype", "epochs", "optimizer", "unet", "prior", "transformer", "text_encoder", "text_encoder_2",
            "text_encoder_3", "text_encoder_4", "vae", "gradient_checkpointing", "learning_rate_scheduler",
            "loss_weight_fn", "loss_weight_strength", "layer_filter", "layer_filter_preset", "save_every",
            "sample_after", "sample_image_format", "samples_to_tensorboard", "effnet_encoder", "decoder",
            "decoder_text_encoder", "decoder_vqgan", "multi_gpu", "cloud", "secrets", "embedding", "config_version",
            "clear_cache_before_training", "save_filename_prefix",
            "only_cache", "continue_last_backup", "validate_after", "validate_after_unit",
            "lokr_dim", "lokr_decompose_factor", "lokr_full_matrix", "lora_alpha", "optimizer_defaults",
            "quantization", "learning_rate_warmup_steps", "ema", "ema_decay", "ema_update_step_interval"}  # fmt: skip
_SAMPLED = "noise is sampled here as the base was trained with it"
# Told where it is not the first, which is done here too; and why.
_USUAL: dict[str, tuple[Any, str]] = {
    "mse_strength": (1.0, NOTHING_LIKE_IT),
    "min_noising_strength": (0.0, _SAMPLED),
    "timestep_distribution": (None, _SAMPLED),
    "lora_layer_preset": ("full", NOTHING_LIKE_IT),
    "concepts": (None, "the pictures are chosen here, with what is done to them"),
}
# An optimizer's table has the settings of all optimizers: what is usual here too, what is of others or is how it is
# computed, and what is off by a word.
_OPTIMIZER = {"beta1": 0.9, "beta2": 0.999, "eps2": 1e-3, "clip_threshold": 1.0, "decay_rate": -0.8, "d0": 1e-6,
              "d_coef": 1.0, "growth_rate": math.inf, "percentile_clipping": 100,
              "orthogonal_gradient": "disabled", "centered_wd_mode": "full", "state_precision": "auto"}  # fmt: skip
_EPS = {"ADAFACTOR": 1e-30}
_COMPUTED = {"optimizer", "weight_decay", "__version", "block_wise", "capturable", "d_limiter", "decouple", "factored",
             "differentiable", "factored_fp32", "foreach", "fsdp_in_use", "fused", "fused_back_pass", "is_paged",
             "log_every", "min_8bit_size", "optim_bits", "quant_block_size", "rms_rescaling", "safeguard_warmup",
             "slice_p", "split_groups", "split_groups_mean", "stochastic_rounding", "use_bias_correction",
             "use_schedulefree", "use_stableadamw", "use_triton", "weight_decay_by_lr"}  # fmt: skip
_DENOISERS = ("unet", "transformer", "prior")
_TEXTS = ("text_encoder", "text_encoder_2", "text_encoder_3", "text_encoder_4")
# Which denoiser a kind of base has, and how many text encoders; a whole file has tables of all the others, too.
_KINDS = (
    ("STABLE_DIFFUSION_XL", "unet", 2),
    ("STABLE_DIFFUSION_3", "transformer", 3),
    ("STABLE_DIFFUSION", "unet", 1),
    ("WUERSTCHEN", "prior", 1),
    ("STABLE_CASCADE", "prior", 1),
    ("FLUX", "transformer", 2),
    ("", "", 4),
)
_HELD = {"__version", "weight_dtype", "train_embedding", "gradient_checkpointing", "offload_fraction",
         "activation_offloading", "stop_training_after_unit"}  # fmt: skip
_ALIKE = {
    "train": "text encoders learn all or none here",
    "learning_rate": "text encoders have one rate here",
    "dropout_probability": "captions are left out for all text encoders alike here",
}


def is_it(table: Table) -> bool:
    return "training_method" in table or "lora_rank" in table and "learning_rate" in table


def carried(table: Table) -> Carried:
    """In our names. Raises nothing: what is odd is left."""
    found = Carried("OneTrainer")
    found.name, found.base = plain_name(table.get("output_model_destination")), base_name(table.get("base_model_name"))
    for theirs, ours in _OURS.items():
        if theirs in table and (not is_off(table[theirs]) or theirs in _MEANT_AT_ZERO):
            value = table[theirs]
            found.take(ours, 0 if value is None and theirs == "clip_grad_norm" else value, theirs)
    _chosen(table, found)
    _warmup(table, found)
    _optimizer(table, found)
    _denoiser(table, found)
    _texts(table, found)
    found.alpha(table.get("lora_rank"), table.get("lora_alpha"), "lora_alpha")
    for theirs, value in table.items():
        if theirs in _SEEN_TO:
            found.see_to([theirs] * (not isinstance(value, dict) and theirs not in _READ))
        elif theirs in _USUAL:
            usual, why = _USUAL[theirs]
            found.leave(theirs, len(value) if isinstance(value, list) else value, why, usual)
        elif theirs not in _OURS:
            found.leave(theirs, value)
    return found


_READ = {"learning_rate_scheduler", "train_dtype", "weight_dtype", "gradient_checkpointing", "loss_weight_fn", "epochs",
         "layer_filter", "output_model_destination", "base_model_name", "loss_weight_strength", "training_method",
         "peft_type", "lora_alpha", "lokr_dim", "lokr_decompose_factor", "lokr_full_matrix", "ema", "ema_decay",
         "ema_update_step_interval", "optimizer", "learning_rate_warmup_steps"}  # fmt: skip


def _chosen(table: Table, found: Carried) -> None:
    for theirs, ours, known in (
        ("learning_rate_scheduler", "scheduler", _SCHEDULERS),
        ("gradient_checkpointing", "gradient_checkpointing", _OFF),
    ):
        value = table.get(theirs)
        if isinstance(value, bool) and known is _OFF:  # as older versions have it
            found.take(ours, value, theirs)
        elif isinstance(value, str) and value in known:
            found.take(ours, known[value], theirs)
        else:
            found.leave(theirs, value)
    if table.get("learning_rate_scheduler") == "COSINE_WITH_RESTARTS":
        why = "the rate climbs back slowly there, and begins anew at once here"
        found.tell("learning_rate_scheduler", "COSINE_WITH_RESTARTS", why)
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
    elif table.get("loss_weight_fn") == "CONSTANT":
        found.take("min_snr_gamma", 0, "loss_weight_fn")
    else:
        found.leave("loss_weight_fn", table.get("loss_weight_fn"))
    if str(table.get("ema", "OFF")) != "OFF":
        found.take("ema_decay", table.get("ema_decay", 0.999), "ema_decay")
        interval = table.get("ema_update_step_interval")
        found.leave("ema_update_step_interval", interval, "the average takes in every step here", usual=1)
    found.leave("epochs", table.get("epochs"), "a run is counted in steps here; those of your preset are taken")
    if isinstance(layers := table.get("layer_filter"), str) and layers.strip():
        found.take("only_layers", [one.strip() for one in layers.split(",")], "layer_filter")


def _warmup(table: Table, found: Carried) -> None:
    """It counts batches there, of which several may be gathered into a step; up to 1 it is a share of the run."""
    theirs, gathered = "learning_rate_warmup_steps", number(table.get("gradient_accumulation_steps", 1))
    steps = number(value := table.get(theirs))
    if steps is not None and 0 < steps <= 1:
        found.warmup_share(steps, theirs, value)
    elif steps is not None and gathered is not None and gathered > 1:
        found.take("warmup_steps", int(steps / gathered), theirs)
    else:
        found.take("warmup_steps", value, theirs)


def _optimizer(table: Table, found: Carried) -> None:
    optimizer = _inner(table, "optimizer")
    name = optimizer.get("optimizer", table.get("optimizer"))
    if isinstance(name, str) and name in _OPTIMIZERS:
        found.take("optimizer", _OPTIMIZERS[name], "optimizer")
    elif isinstance(name, str):
        found.leave("optimizer", name)
    found.take("weight_decay", optimizer.get("weight_decay"), "optimizer: weight_decay")
    usual = _OPTIMIZER | {"eps": _EPS.get(str(name), 1e-8)}
    for theirs, value in optimizer.items():
        if theirs not in _COMPUTED:
            found.leave(f"optimizer: {theirs}", value, usual=usual.get(theirs))


def _denoiser(table: Table, found: Carried) -> None:
    own = _kind(table)[0]
    name = own if _inner(table, own) else next((part for part in _DENOISERS if _inner(table, part)), "")
    part = _inner(table, name)
    held = part.get("weight_dtype", table.get("weight_dtype", table.get("train_dtype")))
    if not is_off(part.get("learning_rate")):
        found.take("learning_rate", part["learning_rate"], "learning_rate of the denoiser")
    if str(held) in _PRECISION:
        found.take("precision", _PRECISION[str(held)], "weight_dtype")
    found.leave(f"{name}: train", part.get("train"), "the denoiser always learns here", usual=True)
    found.leave(f"{name}: dropout_probability", part.get("dropout_probability"))
    _others(name, part, True, found)


def _texts(table: Table, found: Carried) -> None:
    """Settings of the first count for all here; what the others have of their own is told."""
    first = _inner(table, _TEXTS[0])
    learns = first.get("train") is True
    if isinstance(first.get("train"), bool):
        found.take("train_text_encoder", learns, "text_encoder: train")
    if learns and not is_off(first.get("learning_rate")):
        found.take("text_encoder_learning_rate", first["learning_rate"], "text_encoder: learning_rate")
    found.take("caption_dropout", first.get("dropout_probability"), "text_encoder: dropout_probability")
    for name in _TEXTS[: _kind(table)[1]]:
        part = _inner(table, name)
        for theirs, why in _ALIKE.items() if part is not first else ():
            if theirs != "learning_rate" or part.get("train") is True:
                found.leave(f"{name}: {theirs}", part.get(theirs), why, usual=first.get(theirs))
        _others(name, part, part.get("train") is True, found)


def _others(name: str, part: dict[str, Any], learns: bool, found: Carried) -> None:
    """Leave the rest of what is said of a part of the base; of when it stops learning, where it learns."""
    ends = learns and part.get("stop_training_after_unit") != "NEVER"
    for theirs, value in part.items():
        if theirs == "model_name":
            found.leave(f"{name}: model_name", plain_name(value), "the base is taken whole here")
        elif theirs in ("guidance_scale", "include"):
            found.leave(f"{name}: {theirs}", value, usual=1)
        elif theirs not in _ALIKE and theirs not in _HELD and (ends or theirs != "stop_training_after"):
            found.leave(f"{name}: {theirs}", value)


def _kind(table: Table) -> tuple[str, int]:
    """Which denoiser the base has, and how many text encoders; empty and 4 where that is not known."""
    model = str(table.get("model_type", ""))
    return next((denoiser, count) for start, denoiser, count in _KINDS if model.startswith(start))


def _inner(table: Table, name: str) -> dict[str, Any]:
    found = table.get(name)
    return found if isinstance(found, dict) else {}
