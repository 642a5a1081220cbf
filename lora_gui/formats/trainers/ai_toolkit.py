"""Settings of ai-toolkit: its YAML, or the same as JSON.

Source: ostris/ai-toolkit, config/examples and toolkit/config_modules.py.
"""

from __future__ import annotations

from typing import Any

from lora_gui.formats.trainers.carried import Carried, base_name, number, plain_name
from lora_gui.formats.trainers.parsing import Table

# of each part of a process: their name to ours
_OURS = {
    "network": {"linear": "rank", "rank": "rank"},
    "train": {
        "steps": "steps",
        "lr": "learning_rate",
        "lr_scheduler": "scheduler",
        "optimizer": "optimizer",
        "batch_size": "batch_size",
        "gradient_accumulation_steps": "accumulation",
        "gradient_accumulation": "accumulation",
        "max_grad_norm": "max_grad_norm",
        "gradient_checkpointing": "gradient_checkpointing",
        "train_text_encoder": "train_text_encoder",
        "text_encoder_lr": "text_encoder_learning_rate",
        "min_snr_gamma": "min_snr_gamma",
        "noise_offset": "noise_offset",
        "content_or_style": "timestep_bias",
        "diff_output_preservation_class": "class_words",
        "dtype": "precision",
    },
    "save": {"save_every": "checkpoint_every"},
    "sample": {"sample_every": "sample_every", "seed": "seed"},
}
_OWN_WAY = {
    "network": {"type", "lokr_factor", "lokr_full_rank"},
    "train": {"noise_scheduler", "disable_sampling", "skip_first_sample",
              "cache_text_embeddings", "unload_text_encoder", "bypass_guidance_embedding"},  # fmt: skip
    "save": {"dtype", "max_step_saves_to_keep", "push_to_hub", "save_format"},
    "sample": {"sampler", "width", "height", "neg", "walk_seed", "guidance_scale", "sample_steps", "num_frames",
               "fps"},  # fmt: skip
    "model": {"name_or_path", "is_flux", "is_v3", "is_xl", "is_v2", "arch", "low_vram", "quantize_te", "qtype",
              "quantize", "quantize_kwargs", "qtype_te", "model_kwargs"},  # fmt: skip
}
_HOLDS = ("blank_prompt_preservation", "diff_output_preservation")
_SWITCHES = {"flip_x": "flip", "shuffle_tokens": "shuffle_tags", "mask_path": "masked_loss"}
_DATA = {"folder_path", "caption_ext", "cache_latents_to_disk", "cache_latents", "buckets", "num_repeats"}
_READ_OF_DATA = {"resolution", "caption_dropout_rate", "token_dropout_rate", "mask_min_value", "network_weight"}
_PROCESS = {"type", "training_folder", "sqlite_db_path", "device", "performance_log_every", "log_dir", "logging",
            "trigger_word", "network", "train", "save", "sample", "model", "datasets"}  # fmt: skip
_READ = {"alpha", "linear_alpha", "optimizer_params", "ema_config", "train_unet", "prompts", "samples"}


def is_it(table: Table) -> bool:
    return bool(_process(table))


def carried(table: Table) -> Carried:
    """In our names; of several processes the first."""
    found, process = Carried("ai-toolkit"), _process(table)
    config = table.get("config")
    found.name = plain_name(config.get("name")) if isinstance(config, dict) else ""
    trigger = process.get("trigger_word")
    found.trigger = trigger.strip()[:60] if isinstance(trigger, str) else ""
    model = _inner(process, "model")
    found.base = base_name(model.get("name_or_path"))
    for part, names in _OURS.items():
        for theirs, value in _inner(process, part).items():
            if theirs in names:
                found.take(names[theirs], value, f"{part}: {theirs}")
            elif theirs in _OWN_WAY[part] or theirs.removesuffix("_multiplier") in _HOLDS:
                found.see_to([f"{part}: {theirs}"])
            elif theirs not in _READ:
                found.leave(f"{part}: {theirs}", value)
    _gathered(_inner(process, "train").get("gradient_accumulation_steps"), found)
    _prompts(_inner(process, "sample"), found)
    _network(process, found)
    _train(_inner(process, "train"), found)
    _model(model, found)
    _data(process.get("datasets"), found)
    for theirs, value in process.items():
        if theirs not in _PROCESS:
            found.leave(theirs, value)
    if (several := len(table["config"]["process"])) > 1:
        found.leave("process", several, "the first one is taken")
    return found


def _gathered(batches: Any, found: Carried) -> None:
    """Where batches are gathered by the older name, every single one is counted as a step there."""
    many = number(batches)
    if many is None or many <= 1:
        return
    for name in ("steps", "checkpoint_every", "sample_every"):
        if steps := found.values.get(name):
            found.take(name, max(1, round(steps / many)), name)
    why = f"each of them counts as a step there, so steps are divided by {many:g}"
    found.tell("train: gradient_accumulation_steps", batches, why)


def _prompts(sample: dict[str, Any], found: Carried) -> None:
    """A list of them, or as its window writes it a table for each."""
    listed, tables = sample.get("prompts"), sample.get("samples")
    prompts = [str(one) for one in listed] if isinstance(listed, list) else []
    if not prompts and isinstance(tables, list):
        prompts = [str(one["prompt"]) for one in tables if isinstance(one, dict) and one.get("prompt")]
    if prompts:
        found.prompts(prompts, "sample: prompts")
    elif listed:
        found.leave("sample: prompts", listed)


def _network(process: Table, found: Carried) -> None:
    network = _inner(process, "network")
    rank = network.get("rank", network.get("linear"))
    found.alpha(rank, network.get("linear_alpha", network.get("alpha")), "network: linear_alpha")
    if network.get("type") == "dora":
        found.take("dora", True, "network: type")
    elif network.get("type") == "lokr":
        factor, whole = network.get("lokr_factor"), network.get("lokr_full_rank")
        found.lokr("network: type", factor, "network: lokr_factor", whole)
    elif network.get("type") not in (None, "lora"):
        found.leave("network: type", network["type"], "LoRAs and LoKrs are trained here")


def _train(train: dict[str, Any], found: Carried) -> None:
    """What stands in tables of their own, or switches off what always learns here."""
    params = _inner(train, "optimizer_params")
    found.take("weight_decay", params.pop("weight_decay", None), "train: optimizer_params: weight_decay")
    ema = _inner(train, "ema_config")
    decay = ema.pop("ema_decay", 0.995)
    if ema.pop("use_ema", None) is True:
        found.take("ema_decay", decay, "train: ema_config: ema_decay")
    for name, table in (("optimizer_params", params), ("ema_config", ema)):
        for theirs, value in table.items():
            found.leave(f"train: {name}: {theirs}", value)
    found.leave("train: train_unet", train.get("train_unet"), "the denoiser always learns here", usual=True)
    _held(train, found)


def _model(model: dict[str, Any], found: Carried) -> None:
    if model.get("quantize") is True:
        found.take("precision", "int8", "model: quantize")
    for theirs, value in model.items():
        if theirs not in _OWN_WAY["model"]:
            found.leave(f"model: {theirs}", value)


def _data(sets: Any, found: Carried) -> None:
    """Of several sets of pictures the first."""
    first = sets[0] if isinstance(sets, list) and sets and isinstance(sets[0], dict) else {}
    if isinstance(sets, list) and len(sets) > 1:
        found.leave("datasets", len(sets), "the pictures are chosen here, and the first one's settings are taken")
    sizes = first.get("resolution")
    if isinstance(sizes, list) and len(sizes) > 1:
        numbers = sorted({one for one in sizes if isinstance(one, int)})
        found.take("further_resolutions", numbers[:-1], "datasets: resolution")
        sizes = numbers[-1] if numbers else None
    found.take("resolution", sizes[0] if isinstance(sizes, list) and sizes else sizes, "datasets: resolution")
    found.take("tag_dropout", first.get("token_dropout_rate"), "datasets: token_dropout_rate")
    found.take("caption_dropout", first.get("caption_dropout_rate"), "datasets: caption_dropout_rate")
    for theirs, ours in _SWITCHES.items():
        if first.get(theirs):
            found.take(ours, True, f"datasets: {theirs}")
    if first.get("mask_path") and "mask_min_value" in first:
        found.take("unmasked_weight", first["mask_min_value"], "datasets: mask_min_value")
    found.leave("datasets: network_weight", first.get("network_weight"), usual=1)
    for theirs, value in first.items():
        if theirs in _DATA:
            found.see_to([f"datasets: {theirs}"])
        elif theirs not in _READ_OF_DATA and theirs not in _SWITCHES:
            found.leave(f"datasets: {theirs}", value)


def _held(train: dict[str, Any], found: Carried) -> None:
    """What holds the base, at no words or at those of the class; their words mean nothing where it is off."""
    for way in _HOLDS:
        if train.get(way) is True:
            found.take("preservation", train.get(f"{way}_multiplier", 1), f"train: {way}")
    if train.get("diff_output_preservation") is not True:
        found.values.pop("class_words", None)


def _process(table: Table) -> Table:
    config = table.get("config")
    listed = config.get("process") if isinstance(config, dict) else None
    first = listed[0] if isinstance(listed, list) and listed else None
    return first if isinstance(first, dict) and isinstance(first.get("network"), dict) else {}


def _inner(table: Table, name: str) -> dict[str, Any]:
    found = table.get(name)
    return {str(key): value for key, value in found.items()} if isinstance(found, dict) else {}


