"""A zip for Civitai: the LoRA, drawings whose text Civitai reads, and a list of what to look at before uploading."""

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lora_gui import families, files
from lora_gui.drive import require_new
from lora_gui.formats.contract import IN_WORDS, PEOPLE, Contract
from lora_gui.studio.giving import card
from lora_gui.studio.giving.proof import Say, aloud
from lora_gui.studio.giving.share import CARD, SAMPLES, Shared, share
from lora_gui.studio.library import contracts
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.studio.things.loras import LoraInfo

CHECKLIST = "CHECKLIST.txt"
_CHUNK = 1 << 20  # bytes
_INTO: Literal["w"] = "w"  # the zip, which is no file yet
_DAY = (1980, 1, 1, 0, 0, 0)  # of every file in it: when it was made is nobody's business


@dataclass(frozen=True)
class Packed:
    """What was made; `files` are the names in the zip, `notes` sentences."""

    file: Path
    files: tuple[str, ...]
    checklist: str
    proofs: tuple[str, ...]
    notes: tuple[str, ...]


def pack(
    studio: Studio,
    drawer: Drawer,
    lora: LoraInfo,
    drawings: Sequence[Path] = (),
    strength: float = 1.0,
    target: Path | None = None,
    say: Say = aloud,
) -> Packed:
    """Make the zip `target`, or one among what was given away; arguments are as in `share`.

    Raises UserError, and leaves nothing, where rights are not known or the LoRA cannot be shared.
    """
    contracts.require_publishable(lora.path)
    target = target or files.free_name(studio.given, f"{lora.name}-civitai", ".zip")
    require_new(target)
    folder = files.half_made(target)
    try:
        shared = share(studio, drawer, lora, drawings, strength, folder, say)
        say("Packing")
        entries = _entries(lora, shared)
        files.write_chunks(target, _zipped(entries))
    finally:
        files.remove_folder(folder)
    return Packed(target, tuple(entries), checklist(lora, shared), shared.proofs, shared.notes)


def _entries(lora: LoraInfo, shared: Shared) -> dict[str, Path | bytes]:
    entries: dict[str, Path | bytes] = {
        name: shared.folder / name
        for name in shared.files
        if name == shared.lora or name.startswith(f"{SAMPLES}/")
    }
    entries[CHECKLIST] = checklist(lora, shared).encode("utf-8")
    entries["DESCRIPTION.md"] = _description((shared.folder / CARD).read_text(encoding="utf-8")).encode("utf-8")
    return entries


def checklist(lora: LoraInfo, shared: Shared) -> str:
    """What is settled, marked [x], and what only the maker can see to, [ ]."""
    told, base = shared.contract, card.base_of(lora)
    base_line = ", ".join(filter(None, (base.title, base.licence, card.page_of(base)))) if base else ""
    drawings = sum(name.startswith(f"{SAMPLES}/") for name in shared.files)
    settled = [
        f"[x] The pictures: {_rights(told)}; recorded by you on {told.confirmed}.",
        f"[x] {PEOPLE[told.people]}",
        "[x] The file tells no path, no caption and no name of this computer.",
        f"[x] {drawings} drawings say how they were made, in the text that Civitai reads.",
        *(f"[x] {sentence}" for sentence in shared.proofs),
    ]
    yours = [
        "[ ] It shows no real person. Civitai takes no likeness of real people, whoever agreed.",
        f"[ ] The licence of its base allows what you allow: {base_line or 'look it up'}.",
        f"[ ] The licence that you give it: {told.licence or 'choose one'}.",
        "[ ] Drawings and descriptions for adults are marked as such.",
        "[ ] The drawings show nobody's brand, logo or signature.",
    ]
    fields = [
        f"Name: {lora.name}",
        "Type: LoRA",
        f"Base model: {families.facts_of(lora.family).title}",
        f"Trigger words: {lora.trigger or 'none'}",
        f"File: {shared.lora}",
        f"What it is: {told.owns}{f' - {told.scope}' if told.scope else ''}",
    ]
    return "\n".join([f"{lora.name} for Civitai", "", "Settled", *settled, "", "For you to see to", *yours, "",
                      "To fill in there", *fields, ""])  # fmt: skip


def _rights(told: Contract) -> str:
    return ", ".join(f"{count} {IN_WORDS[kind]}" for kind, count in told.rights.items())


def _description(card_text: str) -> str:
    """The card without what only the Hub reads, and without its pictures."""
    _, _, text = card_text.removeprefix("---\n").partition("\n---\n")
    return text.partition("\n## Sample drawings")[0].strip() + "\n"


class _Pieces:
    """What a zip writes into, given on piece by piece."""

    def __init__(self) -> None:
        self._held: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._held.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def taken(self) -> bytes:
        data, self._held = b"".join(self._held), []
        return data


def _zipped(entries: dict[str, Path | bytes]) -> Iterator[bytes]:
    """A zip in pieces; stored as they are, since weights and pictures hardly get smaller."""
    pieces = _Pieces()
    with zipfile.ZipFile(pieces, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
        for name, source in entries.items():
            info = zipfile.ZipInfo(name, _DAY)
            if isinstance(source, bytes):
                archive.writestr(info, source)
                continue
            info.file_size = source.stat().st_size
            with archive.open(info, _INTO) as out, open(source, "rb") as file:
                while chunk := file.read(_CHUNK):
                    out.write(chunk)
                    yield pieces.taken()
    yield pieces.taken()
