"""Write the header fields that other programs read, and the hashes that make a LoRA file known again."""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lora_gui import __version__
from lora_gui.formats import contract
from lora_gui.protocol.jobs import TrainJob
from lora_gui.refusals import bounds
from lora_gui.settings import StackEntry, TrainSettings

if TYPE_CHECKING:
    from pathlib import Path

    from lora_gui.facts import Facts
    from lora_gui.formats.header import Header

STRENGTH, HINT, THUMBNAIL = "lora_studio.strength", "modelspec.usage_hint", "modelspec.thumbnail"  # fields
STRONGEST = bounds(StackEntry.model_fields["strength"])["le"]
_OF_NOTHING = hashlib.sha256().hexdigest()  # which some trainers write into every file
_OUR_HINT = re.compile(r"|(?:Write .+ in the prompt; s|S)trength [\d.]+ (?:is as trained|draws best)\.")


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
        "network_module": "lycoris.kohya" if settings.adapter == "lokr" else "networks.lora",
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
        "usage_hint": hint(job.trigger),
    } | _prediction(job)
    kohya |= trigger_field(job.trigger) | _refinements(settings)
    return (
        {f"ss_{key}": value if isinstance(value, str) else json.dumps(value) for key, value in kohya.items()}
        | {f"modelspec.{key}": value for key, value in modelspec.items()}
        | _ours(job, facts)
    )


def _refinements(settings: TrainSettings) -> dict[str, Any]:
    """What kohya says of a training that has it; of one without nothing."""
    args = {
        "rank_dropout": settings.rank_dropout,
        "module_dropout": settings.module_dropout,
        "loraplus_lr_ratio": settings.up_ratio - 1 and settings.up_ratio,
    }
    kind = {"dora_wd": "True"} if settings.dora else {}
    if settings.adapter == "lokr":
        kind = {"algo": "lokr", "factor": str(settings.lokr_factor or -1)}
    huber = {"loss_type": "huber", "huber_c": settings.huber_c, "huber_schedule": settings.huber_schedule}
    told = {
        "network_args": {name: f"{value:g}" for name, value in args.items() if value} | kind,
        "scale_weight_norms": settings.max_norm,
        "debiased_estimation": settings.debiased,
        "ema_decay": settings.ema_decay,
    }
    return {name: value for name, value in told.items() if value} | (huber if settings.loss == "huber" else {})


def _ours(job: TrainJob, facts: Facts) -> dict[str, str]:
    """What this app alone reads, and what the LoRA came of."""
    ours = {"base": job.base.key, "preset": job.preset, "version": __version__}
    repo = next((known.repo for known in facts.bases if known.key == job.base.known), "")
    came_of = contract.origin(job.base.title, repo, (picture.digest for picture in job.pictures))
    return {f"lora_studio.{key}": value for key, value in ours.items()} | came_of


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


def edited(fields: Mapping[str, str], title: str, trigger: str, strength: float, description: str) -> dict[str, str]:
    """The fields to change so that a file says these wherever programs look for them; empty takes one out.

    `strength` is the one that is best, 0 where that is not known. What a trainer counted of its captions stays: where
    A1111 and Forge look for the trigger there is room for it only if nothing else is counted.
    """
    changes = {
        "modelspec.title": title,
        "modelspec.trigger_phrase": trigger,
        "modelspec.description": description,
        STRENGTH: f"{strength:g}" if strength else "",
    }
    if not fields.get("ss_tag_frequency") or trigger_of({**fields, "modelspec.trigger_phrase": ""}):
        counted = trigger_field(trigger).get("tag_frequency")
        changes["ss_tag_frequency"] = json.dumps(counted, ensure_ascii=False) if counted else ""
    if _OUR_HINT.fullmatch(fields.get(HINT, "")):
        changes[HINT] = hint(trigger, strength)
    return changes


def hint(trigger: str, strength: float = 0) -> str:
    """How to use a LoRA, in words, as its file says it."""
    word = f"Write {trigger} in the prompt; strength" if trigger else "Strength"
    return f"{word} {strength:g} draws best." if strength else f"{word} 1.0 is as trained."


def strength_of(fields: Mapping[str, str]) -> float:
    """The strength that a file says is best; 0 where it says none that can be."""
    try:
        said = float(fields.get(STRENGTH, ""))
    except ValueError:
        return 0.0
    return said if 0 < said <= STRONGEST else 0.0


def with_hashes(data: bytes) -> bytes:
    """The same file with the fields of `hashes_of` added."""
    length = struct.unpack("<Q", data[:8])[0]
    header, tensors = json.loads(data[8 : 8 + length]), data[8 + length :]
    fields = header.pop("__metadata__", {}) | hashes_of(hashlib.sha256(tensors).hexdigest())
    return packed(header, fields) + tensors


def weights_hash(path: Path, header: Header) -> str:
    """The sha256 of all that stands after the header, as A1111 and Forge have it and Civitai's AutoV3: as the file says
    it, or computed where it says none."""
    said = header.metadata.get("sshs_model_hash", "")
    if len(said) == len(_OF_NOTHING) and said != _OF_NOTHING:
        return said
    with path.open("rb") as file:
        file.seek(struct.unpack("<Q", file.read(8))[0], 1)
        return hashlib.file_digest(file, "sha256").hexdigest()


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
