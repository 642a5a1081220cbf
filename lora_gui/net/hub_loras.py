"""What an id or a link of the model hub leads to, where that is a LoRA."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from huggingface_hub import constants

from lora_gui.errors import UserError
from lora_gui.formats import base_files
from lora_gui.formats.header import plain
from lora_gui.formats.peft_settings import LONGEST
from lora_gui.net import hub
from lora_gui.net.fetch import Remote
from lora_gui.net.hub import Listing
from lora_gui.net.offer import Offer
from lora_gui.protocol.events import Phase
from lora_gui.protocol.task_folder import PEFT_SETTINGS, PEFT_WEIGHTS

_PICTURES = {".png", ".jpg", ".jpeg", ".webp"}
_LARGEST_PICTURE = 20_000_000  # bytes
_BASE = {"model_index.json"}  # what repositories of LoRAs do not hold


def offer(repo: str, revision: str, file: str) -> Iterator[Offer | Phase]:
    """What a repository offers: its LoRA files, or the one that is named. Raises UserError."""
    for said in hub.listing(repo, "" if revision == "main" else revision):
        yield _offer(said, file) if isinstance(said, Listing) else said


def _offer(listing: Listing, file: str) -> Offer:
    found = {name: one for name, one in listing.files.items() if name.lower().endswith(base_files.SUFFIX)}
    if _BASE & listing.files.keys():
        raise UserError(f"{listing.repo} is no LoRA but a whole base.", "Choose one in the list of bases instead.")
    if file and file not in found:
        raise UserError(f"There is no LoRA {plain(file)[:100]} in {listing.repo}.", "Leave the file out to see all.")
    pictures = [
        name for name, one in sorted(listing.files.items(), key=lambda one: (one[0].count("/"), one[0]))
        if PurePosixPath(name).suffix.lower() in _PICTURES and one.size <= _LARGEST_PICTURE
    ]  # fmt: skip
    return Offer(
        title=listing.repo,
        page=f"{constants.ENDPOINT}/{listing.repo}",
        files={file: found[file]} if file else found,
        base=plain(listing.card.get("base_model", ""))[:100],
        words=tuple(filter(None, [plain(listing.card.get("instance_prompt", ""))[:300]])),
        picture=listing.files[pictures[0]].url if pictures else "",
        settings={name: one for name in found if (one := _beside(listing, name))},
        gated=listing.gated,
    )


def _beside(listing: Listing, name: str) -> Remote | None:
    """What peft has put beside the weights called `name`: without it nobody knows how strong they are."""
    path = PurePosixPath(name)
    one = listing.files.get(str(path.with_name(PEFT_SETTINGS))) if path.name == PEFT_WEIGHTS else None
    return one if one and one.size <= LONGEST else None
