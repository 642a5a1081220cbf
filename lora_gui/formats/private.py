"""Which header fields of a LoRA may leave the studio: no path, no caption, no folder's name, nothing unknown."""

from __future__ import annotations

import getpass
import re
from pathlib import Path

from lora_gui.formats import edit
from lora_gui.formats.metadata import trigger_of

LONGEST = 2_000  # characters of a field, but for the small picture of it
_LONGEST_PICTURE = 100_000
_HASHES = {"sshs_model_hash", "sshs_legacy_hash", "modelspec.hash_sha256"}  # true of the bytes they stand beside
_THUMBNAIL = "modelspec.thumbnail"
# What trainers note that says nothing of the disk or the pictures. kohya's others name folders (ss_dataset_dirs) and
# count the words of captions (ss_tag_frequency): sd-scripts issue #151.
_KNOWN = re.compile(
    r"modelspec\.\w+|lora_studio\.\w+|studio\.\w+|format"
    r"|ss_(v2|base_model_version|sd_model_name|sd_model_hash|output_name|resolution|clip_skip|seed"
    r"|network_(module|dim|alpha|args|dropout)|learning_rate|unet_lr|text_encoder_lr|lr_scheduler|lr_warmup_steps"
    r"|optimizer|steps|max_train_steps|epoch|num_epochs|num_train_images|batch_size_per_device|total_batch_size"
    r"|gradient_accumulation_steps|gradient_checkpointing|mixed_precision|caption_dropout_rate|min_snr_gamma"
    r"|noise_offset|multires_noise_\w+|prior_loss_weight|scale_weight_norms|weight_decay|debiased_estimation|loss_type"
    r"|huber_(c|schedule)|ema_decay)"
)
_PATH = re.compile(r"(?<![\w/.:)-])~?/\w|\b[A-Za-z]:[\\/](?!/)|\\\\\w|\bfile:/", re.I)  # no address of the web


def holds_a_path(text: str) -> bool:
    """Whether a text names a place on a disk."""
    return bool(_PATH.search(text))


def fields(path: Path) -> tuple[dict[str, str], list[str]]:
    """The header fields of a LoRA file that may be given away, and the names of those that may not.

    Hashes are left to whoever writes the file. Raises UserError where the file is damaged.
    """
    texts = {name: text for name, text in edit.metadata(path).items() if name not in _HASHES}
    kept = {name: text for name, text in texts.items() if _may_leave(name, text)}
    if trigger := trigger_of(texts):  # which the count of the captions' words may be the only one to say
        kept["modelspec.trigger_phrase"] = trigger
    counts = {"ss_tag_frequency"} if trigger_of({"ss_tag_frequency": texts.get("ss_tag_frequency", "")}) else set()
    return kept, sorted(texts.keys() - kept.keys() - counts)


def _may_leave(name: str, text: str) -> bool:
    if not _KNOWN.fullmatch(name):
        return False
    if name == _THUMBNAIL:
        return text.startswith("data:image/") and len(text) <= _LONGEST_PICTURE
    if name == "modelspec.author" and text.casefold() == _login().casefold():
        return False  # what this computer calls its user is no name that somebody chose to sign with
    return len(text) <= LONGEST and not holds_a_path(text)


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a computer that knows no names
        return ""
