"""LoRA files that are dropped or named: taken in one by one, each once, with the pictures that lie beside them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.files import DiskFullError
from lora_gui.formats import peft_settings
from lora_gui.formats.header import plain, read_header
from lora_gui.protocol.task_folder import PEFT_SETTINGS
from lora_gui.studio.library.beside import PICTURES
from lora_gui.studio.paths import Studio
from lora_gui.studio.sandbox.picture_sandbox import Decoder
from lora_gui.studio.things import loras
from lora_gui.studio.things.intake import Incoming, gather
from lora_gui.studio.things.loras import SUFFIX, LoraInfo
from lora_gui.studio.things.names import called

_NOTHING = "There is no LoRA in what was dropped.", "LoRAs are files that end in .safetensors."
MOST_NAMED = 5  # files that are no LoRAs and are named one by one
_OLD = {".ckpt", ".pt", ".pth", ".bin"}


@dataclass
class Dropped:
    """What came of it; `left` says of each file that was not taken why, by the name its user knows, `called` of those
    that were which have another name here."""

    taken: list[LoraInfo] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    called: list[str] = field(default_factory=list)


def take(studio: Studio, sources: Sequence[Path], names: Sequence[str] = ()) -> Dropped:
    """Copy every LoRA in files and folders into the studio, those it has already left out.

    `names` are a browser's names, as `intake.gather` has them. Raises UserError where there is none, or no room.
    """
    found = [one for one in gather(sources, names).files if not one.name.name.startswith(".")]
    dropped = Dropped()
    wanted = [one for one in found if one.given and one.name.suffix.lower() == SUFFIX]
    old = [one.name.name for one in found if one.given and one.name.suffix.lower() in _OLD]
    dropped.left += [f"{plain(name)[:100]} is in an old format that can carry programs." for name in old]
    if not wanted:
        raise UserError(dropped.left[0] if old else _NOTHING[0], "Get it as .safetensors." if old else _NOTHING[1])
    pictures = {_small(one.name): one.path for one in found if one.name.name.lower().endswith(PICTURES)}
    dropped.left += _others(found, wanted)
    with Decoder() as decoder:
        for one in wanted:
            taken = _take(studio, one, dropped)
            if taken and (picture := _picture(one.name, pictures)):
                _cover(picture, taken.path, decoder)
    return dropped


def _others(found: Sequence[Incoming], wanted: Sequence[Incoming]) -> list[str]:
    """What of the files that were chosen is neither a LoRA nor belongs to one, in a sentence; none where all does."""
    theirs = {one.name.with_name(one.name.stem + ending) for one in wanted for ending in PICTURES}
    theirs |= {one.name.with_name(PEFT_SETTINGS) for one in wanted if peft_settings.beside(one.path)}
    names = [
        plain(one.name.name)[:100] for one in found
        if one.given and _small(one.name) not in theirs and one.name.suffix.lower() not in (SUFFIX, *_OLD)
    ]  # fmt: skip
    if len(names) < 2:
        return [f"{name} is no LoRA." for name in names]
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return [f"{', '.join(names[:MOST_NAMED])}{more} are no LoRAs."]


def _take(studio: Studio, one: Incoming, dropped: Dropped) -> LoraInfo | None:
    """The LoRA that was taken in; None where it was left, which `dropped` says."""
    try:
        if same := _same(studio, one.path):
            dropped.left.append(f"{plain(one.name.name)[:100]} is among your LoRAs already, as {plain(same.stem)}.")
            return None
        dropped.taken.append(loras.import_lora(studio, one.path, one.name.stem))
    except DiskFullError:
        raise
    except UserError as error:
        dropped.left.append(one.in_words(f"{error.what} {error.remedy}"))
        return None
    dropped.called += filter(None, [called(one.name.stem, dropped.taken[-1].name)])
    return dropped.taken[-1]


def _same(studio: Studio, path: Path) -> Path | None:
    """The file of the studio that is the very same."""
    if peft_settings.beside(path):
        return _same_of_peft(studio, path)
    with contextlib.suppress(OSError):
        size = path.stat().st_size
        there = [one for one in loras.lying_in(studio.loras) if one.is_file() and one.stat().st_size == size]
        digest = files.sha256(path) if there else ""
        return next((one for one in there if files.sha256(one) == digest), None)
    return None


def _same_of_peft(studio: Studio, path: Path) -> Path | None:
    """The file of the studio with the weights of this one, and with the settings in it that lie beside this one."""
    def known(one: Path) -> tuple[str, str]:
        return loras.fingerprint(one), read_header(one).metadata.get(peft_settings.FIELD, "")

    wanted = known(path)
    for one in loras.lying_in(studio.loras):
        with contextlib.suppress(UserError):  # one of the studio that is damaged
            if known(one) == wanted:
                return one
    return None


def _small(name: PurePosixPath) -> PurePosixPath:
    """The name with its ending in small letters."""
    return name.with_suffix(name.suffix.lower())


def _picture(name: PurePosixPath, pictures: dict[PurePosixPath, Path]) -> Path | None:
    """The picture that lies beside a LoRA under its name."""
    beside = (pictures.get(name.with_name(name.stem + ending)) for ending in PICTURES)
    return next((one for one in beside if one), None)


def _cover(picture: Path, lora: Path, decoder: Decoder) -> None:
    target = lora.with_name(lora.stem + PICTURES[0])
    if not target.exists():
        with contextlib.suppress(UserError):
            files.write_bytes(target, decoder.decode(picture)[0])
