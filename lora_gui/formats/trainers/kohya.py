"""Settings of kohya's sd-scripts: TOML with or without sections, and the JSON of its graphical front end.

Source: kohya-ss/sd-scripts, library/train_util.py (add_*_arguments) and docs/train_network_README.
"""

from __future__ import annotations

import re
from typing import Any

from lora_gui.formats.trainers.carried import Carried, base_name, is_off, number, plain_name
from lora_gui.formats.trainers.parsing import Table

_MARKS = {"network_dim", "network_module", "max_train_steps", "unet_lr", "train_batch_size", "LoRA_type"}
_OURS = {
    "network_dim": "rank",
    "max_train_steps": "steps",
    "learning_rate": "learning_rate",
    "unet_lr": "learning_rate",
    "lr_scheduler": "scheduler",
    "lr_scheduler_num_cycles": "restarts",
    "optimizer_type": "optimizer",
    "optimizer": "optimizer",  # of the front end
    "train_batch_size": "batch_size",
    "gradient_accumulation_steps": "accumulation",
    "max_grad_norm": "max_grad_norm",
    "resolution": "resolution",
    "max_resolution": "resolution",  # of the front end
    "gradient_checkpointing": "gradient_checkpointing",
    "blocks_to_swap": "streamed_blocks",
    "flip_aug": "flip",
    "caption_dropout_rate": "caption_dropout",
    "shuffle_caption": "shuffle_tags",
    "caption_tag_dropout_rate": "tag_dropout",
    "enable_wildcard": "caption_lines",  # of a file's lines one at random
    "masked_loss": "masked_loss",
    "prior_loss_weight": "class_weight",
    "min_snr_gamma": "min_snr_gamma",
    "noise_offset": "noise_offset",
    "scale_weight_norms": "max_norm",
    "debiased_estimation_loss": "debiased",
    "save_every_n_steps": "checkpoint_every",
    "sample_every_n_steps": "sample_every",
    "seed": "seed",
}
_SIZES = {"resolution", "max_resolution"}
_MEANT_AT_ZERO = {"caption_dropout_rate", "max_grad_norm", "min_snr_gamma", "noise_offset", "seed"}
_EPOCHS = "a run is counted in steps here; those of your preset are taken"
# Of families whose text encoders are not trained here: their module, or what the front end has in its place.
_OF_FLOW = re.compile(r"networks\.lora_(flux|sd3)")
_FLOW_CHECKED = ("flux1_checkbox", "sd3_checkbox")
_NETWORK = {  # in network_args, and of the front end beside the others
    "dora_wd": "dora",  # of LyCORIS
    "rank_dropout": "rank_dropout",
    "module_dropout": "module_dropout",
    "loraplus_lr_ratio": "lora_plus",
    "loraplus_unet_lr_ratio": "lora_plus",  # the last counts
}
_LOKR = re.compile(r"\blokr\b", re.IGNORECASE)  # as LyCORIS, sd-scripts' own module and the front end call it
_LOSSES = {"l2": "squared", "huber": "huber"}
_PRECISION = {"no": "fp32", "fp16": "fp16", "bf16": "bf16", "float": "fp32"}
# What this app does by itself, or in one way for all: caches, attention, buckets, files, logs.
_OWN_WAY = re.compile(
    r"cache_\w+|(no_)?(xformers|sdpa|mem_eff_attn)|max_data_loader_n_workers|persistent_data_loader_workers"
    r"|log(_\w+|ging_dir)|wandb\w*"
    r"|save_(model_as|precision|state\w*|last\w*|n_epoch\w*|every_n_epochs)|output_dir|train_data_dir|reg_data_dir"
    r"|(enable_)?bucket\w*|(min|max)_bucket_reso|caption_extension|tokenizer_cache_dir|vae(_batch_size)?|ae|clip_[lg]|t5xxl"
    r"|model_list|num_\w+|dynamo_\w+|gpu_ids|extra_accelerate\w*|main_process_port|multi_gpu|train_data_\w+"
    r"|huggingface_\w+|metadata_\w+|training_comment|sample_(sampler|every_n_epochs|at_first)|lowram|highvram"
    r"|full_(bf16|fp16)|fp8_base\w*|max_token_length|skip_(cache_check|image_resolution)|v2|sdxl|flux1?\w*|sd3\w*"
    r"|LoRA_type|console_\w+"
)


def is_it(table: Table) -> bool:
    return bool(_MARKS & _flat(table).keys())


def carried(table: Table) -> Carried:
    """In our names; an epoch is no unit here, and steps beside epochs counted for nothing there."""
    found, given = Carried("kohya's sd-scripts"), _flat(table)
    found.name, found.base = plain_name(given.get("output_name")), base_name(given.get("pretrained_model_name_or_path"))
    for theirs, value in given.items():
        is_second = theirs == "learning_rate" and not is_off(given.get("unet_lr"))
        is_overridden = theirs == "max_train_steps" and not is_off(given.get("max_train_epochs"))
        if is_overridden:
            found.leave(theirs, value, "the epochs go before it there")
        elif theirs in _OURS and not is_second and (not is_off(value) or theirs in _MEANT_AT_ZERO):
            found.take(_OURS[theirs], _number_in(value) if theirs in _SIZES else value, theirs)
    found.alpha(given.get("network_dim"), given.get("network_alpha"), "network_alpha")
    _keep_tokens(given.get("keep_tokens"), found)
    _warmup(given, found)
    _prompts(given.get("sample_prompts"), found)
    _noise(given.get("max_timestep"), found)
    _precision(given, found)
    _text_encoder(given, found)
    _optimizer_args(given, found)
    _network_args(given, found)
    _loss(given, found)
    _rest(given, found)
    return found


def _flat(table: Table) -> Table:
    """Sections are for the eye alone there: sd-scripts reads them as one (read_config_from_file)."""
    found: Table = {}
    for key, value in table.items():
        found |= {str(k): v for k, v in value.items()} if isinstance(value, dict) else {key: value}
    return found


def _number_in(value: Any) -> Any:
    """`1024,1024` where both are the same."""
    sides = [side.strip() for side in value.split(",")] if isinstance(value, str) else value
    return sides[0] if isinstance(sides, list) and len({str(side) for side in sides}) == 1 else value


def _keep_tokens(kept: Any, found: Carried) -> None:
    """The first of them is the trigger word, which stays by itself."""
    if not is_off(kept) and str(kept).isdecimal():
        found.take("keep_first_tags", int(kept) - 1, "keep_tokens")
    else:
        found.leave("keep_tokens", kept)


def _prompts(said: Any, found: Carried) -> None:
    """Of the front end a prompt in each line, with `--w 512` and the like behind it; elsewhere the name of a file."""
    if not isinstance(said, str) or re.search(r"\.(txt|json|toml)\s*$", said):
        found.leave("sample_prompts", plain_name(said) or said, "it is a file of its own, and is not read")
        return
    lines = (re.split(r"\s--\w\b", line)[0].strip() for line in said.splitlines() if not line.lstrip().startswith("#"))
    if prompts := [line for line in lines if line]:
        found.prompts(prompts, "sample_prompts")


def _warmup(given: Table, found: Carried) -> None:
    """Steps, or less than one as a share of the run; `lr_warmup` of the front end is per cent of it, and goes after."""
    steps, percent = given.get("lr_warmup_steps"), given.get("lr_warmup")
    if not is_off(steps):
        text = str(steps).strip()
        share = number(text.removesuffix("%"), 100 if text.endswith("%") else 1)
        if share is not None and 0 < share < 1:
            found.warmup_share(share, "lr_warmup_steps", steps)
        else:
            found.take("warmup_steps", steps, "lr_warmup_steps")
    elif given.get("lr_scheduler") == "constant":  # which the front end lets begin at once
        found.take("warmup_steps", None if percent is None else 0, "lr_warmup")
    elif not is_off(percent):
        found.warmup_share(number(percent, 100) or 0.0, "lr_warmup", percent)
    else:
        found.take("warmup_steps", steps, "lr_warmup_steps")


def _noise(most: Any, found: Carried) -> None:
    """Up to which of the thousand timesteps is learnt; all where none is said."""
    if str(most).isdecimal():
        found.take("learn_below", int(most) / 1000, "max_timestep")
    else:
        found.leave("max_timestep", most)


def _precision(given: Table, found: Carried) -> None:
    if (name := str(given.get("mixed_precision", ""))) in _PRECISION:
        found.take("precision", _PRECISION[name], "mixed_precision")
    else:
        found.leave("mixed_precision", given.get("mixed_precision"))
    if given.get("fp8_base") is True:
        found.leave("fp8_base", True, "the base is held in int8 here where memory is short, chosen by your preset")
    if given.get("v_parameterization") is True:
        found.take("prediction", "v", "v_parameterization")


def _text_encoder(given: Table, found: Carried) -> None:
    """It learns there unless it is switched off or its own rate is 0; without a rate of its own, at that of all."""
    if given.get("network_train_unet_only") is True:
        found.take("train_text_encoder", False, "network_train_unet_only")
        return
    rate, theirs = given.get("text_encoder_lr"), "text_encoder_lr"
    if isinstance(rate, list):
        if rate and any(one != rate[0] for one in rate):
            found.leave(theirs, rate, "text encoders have one rate here, and the first is taken")
        rate = rate[0] if rate else None
    leaves_it_out = "LoRA_type" in given and is_off(given.get("unet_lr"))  # as the front end does with two zeros
    if rate is None or leaves_it_out and is_off(rate):
        rate, theirs = given.get("learning_rate"), "learning_rate"
        if is_off(rate):
            return
    if is_off(rate):
        found.take("train_text_encoder", False, theirs)
    elif _OF_FLOW.fullmatch(str(given.get("network_module"))) or any(given.get(one) is True for one in _FLOW_CHECKED):
        found.leave(f"{theirs} of the text encoder", rate, "those of this base are not trained here")
    else:
        found.take("train_text_encoder", True, theirs)
        found.take("text_encoder_learning_rate", rate, theirs)
        if "unet_lr" in given and is_off(given["unet_lr"]) and theirs == "text_encoder_lr":
            found.tell("unet_lr", given["unet_lr"], "the denoiser always learns here")


def _optimizer_args(given: Table, found: Carried) -> None:
    for name, value in _pairs(given.get("optimizer_args")):
        if name == "weight_decay":
            found.take("weight_decay", value, "optimizer_args: weight_decay")
        elif value:
            found.leave(f"optimizer_args: {name}", value)


def _network_args(given: Table, found: Carried) -> None:
    """What is said of the LoRA itself; of two ratios of LoRA+ that of the denoiser."""
    said = dict(_pairs(given.get("network_args")))
    for theirs, ours in _NETWORK.items():
        for value, place in ((given.get(theirs), theirs), (said.get(theirs), f"network_args: {theirs}")):
            if not is_off(value):
                found.take(ours, value, place)
    if _LOKR.search(f"{given.get('network_module')} {given.get('LoRA_type')} {said.get('algo')}"):
        found.lokr("LoKr", said.get("factor", given.get("factor")), "factor", said.get("full_matrix"))
        said = {theirs: value for theirs, value in said.items() if theirs not in ("algo", "factor", "full_matrix")}
    for theirs, value in said.items():
        if theirs not in _NETWORK:
            found.leave(f"network_args: {theirs}", value)
    why = "ranks or layers are left out here, not single numbers"
    found.leave("network_dropout", given.get("network_dropout"), why)


def _loss(given: Table, found: Carried) -> None:
    """The numbers of Huber's mean nothing where the loss is another."""
    kind = given.get("loss_type")
    if isinstance(kind, str) and kind in _LOSSES:
        found.take("loss", _LOSSES[kind], "loss_type")
    else:
        found.leave("loss_type", kind)
    if kind == "huber":
        found.take("huber_c", given.get("huber_c"), "huber_c")
        found.take("huber_schedule", given.get("huber_schedule"), "huber_schedule")
        if given.get("huber_scale") not in (1, "1"):
            found.leave("huber_scale", given.get("huber_scale"))


def _pairs(args: Any) -> list[tuple[str, str]]:
    """`name=value` in a list, or in one text."""
    listed = args if isinstance(args, list) else str(args or "").split()
    parted = (str(pair).partition("=") for pair in listed)
    return [(name.strip(), value) for name, _, value in parted]


def _rest(given: Table, found: Carried) -> None:
    settled = {*_OURS, *_NETWORK, "network_alpha", "network_args", "network_dropout", "loss_type", "huber_c",
               "huber_schedule", "huber_scale", "mixed_precision", "fp8_base", "v_parameterization", "text_encoder_lr",
               "optimizer_args", "keep_tokens", "sample_prompts", "lr_warmup", "lr_warmup_steps", "max_timestep",
               "network_train_unet_only", "output_name",
               "pretrained_model_name_or_path", "factor"}  # fmt: skip
    for theirs, value in given.items():
        if theirs in settled or is_off(value):
            continue
        if theirs in ("max_train_epochs", "epoch"):
            if "steps" not in found.values:
                found.leave(theirs, value, _EPOCHS)
        elif theirs == "dataset_config":
            found.leave(theirs, plain_name(value), "it holds sizes and repeats, and is not read")
        elif theirs == "network_module":
            plain = value in ("networks.lora", "networks.lora_flux", "networks.lora_sd3")
            if not plain and found.values.get("adapter") != "lokr":
                found.leave(theirs, value, "LoRAs and LoKrs are trained here")
        elif _OWN_WAY.fullmatch(theirs):
            found.see_to([theirs])
        else:
            found.leave(theirs, value)
