"""Publish a shared folder to the Hugging Face Hub: what exactly is uploaded is shown first, then a child does it."""

import re
from dataclasses import dataclass
from pathlib import Path

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.protocol import events
from lora_gui.protocol.jobs import UploadJob
from lora_gui.studio.giving.proof import Say, aloud
from lora_gui.studio.giving.share import CARD
from lora_gui.studio.library import contracts
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import process

LONGEST = 7200.0  # seconds that an upload may take
_REPO = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}", re.ASCII)


@dataclass(frozen=True)
class Shown:
    """Exactly what will be uploaded: each file's size in bytes, the card as it reads, and who will see it."""

    folder: Path
    repo: str
    private: bool
    sizes: dict[str, int]
    sums: dict[str, str]  # sha256 of each
    card: str


def shown(folder: Path, lora: str, repo: str, is_private: bool = True) -> Shown:
    """What publishing the shared `folder`, whose LoRA is the file `lora`, as `repo` uploads; nothing is sent.

    Raises UserError where rights are not known, `repo` is no name or the card cannot be read.
    """
    contracts.require_publishable(folder / lora)
    repo = require_place(repo)
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    sizes = {name: path.stat().st_size for name, path in found.items()}
    sums = {name: files.sha256(path) for name, path in found.items()}
    try:
        card = files.read_small(folder / CARD).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        what = f"{folder.name}/{CARD} cannot be read."
        raise UserError(what, "Save it as a short text in UTF-8, or share the LoRA once more.") from None
    return Shown(folder, repo, is_private, sizes, sums, card)


def require_place(repo: str) -> str:
    """The name of a place on the Hub as it is used. Raises UserError where it is none."""
    if not _REPO.fullmatch(repo.strip()):
        raise UserError(f"{repo!r} is no place on the Hub.", "Write your name there and one for the LoRA: you/my-lora.")
    return repo.strip()


def again(folder: Path, repo: str, is_private: bool, sums: dict[str, str]) -> Shown:
    """What was shown before, by its checksums. Raises UserError where the folder is not as it was then."""
    now = shown(folder, lora_in(folder), repo, is_private)
    if now.sums != sums:
        raise UserError("The folder is not as it was shown any more.", "Look at what is uploaded once more.")
    return now


def lora_in(folder: Path) -> str:
    """The name of the LoRA's file in a shared folder. Raises UserError where it is none."""
    found = sorted(path.name for path in folder.glob("*.safetensors"))
    if not found or not (folder / CARD).is_file():
        raise UserError(f"{folder.name} is no folder that was shared.", "Share the LoRA first.")
    return found[0]


def publish(studio: Studio, what: Shown, say: Say = aloud) -> str:
    """Upload what was shown; where it is on the Hub. Raises UserError, with the cause `sign in` without a token.

    `say` is told how much of it is there in per cent; what it raises ends the upload.
    """
    job = UploadJob(folder=str(what.folder.resolve()), repo=what.repo, files=what.sums, private=what.private)
    log = studio.cache / "upload.txt"
    last = process.follow("upload", job.model_dump_json(), log, lambda event: say(_words(event)), LONGEST)
    if not isinstance(last, events.Done):
        raise UserError(*process.cause(log))
    return last.lora


def _words(event: events.Event | None) -> str:
    match event:
        case events.Phase(name):
            return name
        case events.Transfer(done, of) if of:
            return f"Uploading, {done * 100 // of} %"
    return ""
