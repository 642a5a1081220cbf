"""Write the header fields that other programs read, and the hashes that make a LoRA file known again."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lora_gui import __version__
from lora_gui.protocol.jobs import TrainJob

if TYPE_CHECKING:
    from lora_gui.facts import Facts


def lora_metadata(job: TrainJob, facts: Facts, steps: int) -> dict[str, str]:
    """The metadata of a LoRA after `steps` steps. No path, no caption and no time of day: the same job gives the same
    file, whether or not it was interrupted.

    kohya `ss_*` fields are what A1111, Forge and ComfyUI read; `modelspec.*` is Stability's model specification 1.0.1.
    """
    settings = job.settings
    size = f"{settings.resolution}x{settings.resolution}"
    kohya = {
        "v2": False,
        "base_model_version": facts.named(job.base.known)[1],
        "sd_model_name": job.base.title,
        "network_module": "networks.lora",
        "network_dim": settings.rank,
        "network_alpha": settings.alpha,
        "network_args": {},
        "output_name": job.name,
        "resolution": f"({settings.resolution}, {settings.resolution})",
        "learning_rate": settings.learning_rate,
        "unet_lr": settings.learning_rate,
        "text_encoder_lr": settings.text_rate if settings.train_text_encoder else 0.0,
        "lr_scheduler": settings.scheduler,
        "optimizer": settings.optimizer,
        "steps": steps,
        "max_train_steps": settings.steps,
        "num_train_images": len(job.pictures),
        "batch_size_per_device": settings.batch_size,
        "gradient_accumulation_steps": settings.accumulation,
        "mixed_precision": settings.precision,
        "caption_dropout_rate": settings.caption_dropout,
        "min_snr_gamma": settings.min_snr_gamma,
        "noise_offset": settings.noise_offset,
        "seed": settings.seed,
    }
    modelspec = {
        "sai_model_spec": "1.0.1",
        "architecture": facts.named(job.base.known)[0],
        "implementation": "diffusers",
        "title": job.name,
        "resolution": size,
        "trigger_phrase": job.trigger,
        "usage_hint": f"Write {job.trigger} in the prompt; strength 1.0 is as trained.",
    } | _prediction(job)
    kohya |= trigger_field(job.trigger)
    ours = {"base": job.base.key, "preset": job.preset, "version": __version__}
    return (
        {f"ss_{key}": value if isinstance(value, str) else json.dumps(value) for key, value in kohya.items()}
        | {f"modelspec.{key}": value for key, value in modelspec.items()}
        | {f"lora_studio.{key}": value for key, value in ours.items()}
    )


def _prediction(job: TrainJob) -> dict[str, str]:
    """What the base was told by hand that it predicts; where it says that itself, who draws has that base."""
    chosen = job.settings.prediction
    return {} if chosen == "base" else {"prediction_type": chosen}


def trigger_field(trigger: str) -> dict[str, dict[str, dict[str, int]]]:
    """The count of kohya's tags with the trigger alone in it, which is where A1111 and Forge look for a trigger."""
    return {"tag_frequency": {f"1_{trigger}": {trigger: 1}}} if trigger else {}


def with_trigger(fields: dict[str, str]) -> dict[str, str]:
    """The fields of a file with its trigger wherever a program looks for it; what is there stays as it is."""
    trigger = trigger_of(fields)
    counted = {f"ss_{key}": json.dumps(value, ensure_ascii=False) for key, value in trigger_field(trigger).items()}
    return counted | ({"modelspec.trigger_phrase": trigger} if trigger else {}) | {k: v for k, v in fields.items() if v}


def trigger_of(fields: Mapping[str, str]) -> str:
    """The trigger that a file names: by ModelSpec, else the only tag there is in all that kohya's field counts."""
    if phrase := fields.get("modelspec.trigger_phrase", ""):
        return phrase
    try:
        counted = json.loads(fields.get("ss_tag_frequency", "{}"))
        tags = {tag for folder in counted.values() for tag in folder}
    except (ValueError, RecursionError, AttributeError, TypeError):
        return ""
    return tags.pop().strip() if len(tags) == 1 else ""


def with_hashes(data: bytes) -> bytes:
    """The same file with the fields of `hashes_of` added."""
    length = struct.unpack("<Q", data[:8])[0]
    header, tensors = json.loads(data[8 : 8 + length]), data[8 + length :]
    fields = header.pop("__metadata__", {}) | hashes_of(hashlib.sha256(tensors).hexdigest())
    return packed(header, fields) + tensors


def hashes_of(digest: str) -> dict[str, str]:
    """The fields in which programs look for the sha256 of what follows the header."""
    return {"sshs_model_hash": digest, "modelspec.hash_sha256": f"0x{digest}"}


def packed(tensors: dict[str, Any], fields: Mapping[str, str]) -> bytes:
    """The header of a .safetensors file with its length before it.

    All is sorted, since safetensors writes fields in any order: the same LoRA is the same file.
    """
    header = tensors | {"__metadata__": dict(fields)}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode("utf-8")
    text += b" " * (-len(text) % 8)  # tensors start at a multiple of eight
    return struct.pack("<Q", len(text)) + text
