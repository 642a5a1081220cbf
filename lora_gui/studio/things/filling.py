"""Fill the folder of a picture set: each file decoded, and stored with its caption; what became of each is told."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import ImageColor

from lora_gui import files
from lora_gui.errors import UserError, shown
from lora_gui.formats.header import plain
from lora_gui.protocol.jobs import mask_beside
from lora_gui.studio.doctor import looks
from lora_gui.studio.paths import Studio
from lora_gui.studio.sandbox import several
from lora_gui.studio.things.intake import Incoming
from lora_gui.studio.things.report import UNUSABLE, LeftOut, left_out


def require_colour(ground: str) -> None:
    """Raises UserError where `ground` is neither empty nor a colour, by its English name or as #204060."""
    try:
        ImageColor.getrgb(ground or "white")
    except ValueError:
        remedy = "Name one as white, grey or black, or write it as #204060."
        raise UserError(f"{shown(ground)} is no colour.", remedy) from None


@dataclass
class Filled:
    """What became of the pictures that were tried: the numbers of those that came in, and what there is to tell."""

    stored: list[int] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    opted_out: list[int] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    left: list[LeftOut] = field(default_factory=list)


def fill(studio: Studio, folder: Path, found: Sequence[Incoming], captions: Sequence[str], ground: str) -> Filled:
    """Decode and store the pictures with their captions."""
    filled, shrunk, masked = Filled(), 0, 0
    answers = several.decoded(found, lambda decoder, source: decoder.decode(source.path, ground))
    for number, (source, decoded) in enumerate(zip(found, answers, strict=True)):
        if isinstance(decoded, UserError):
            error = decoded
            why = plain(source.in_words(f"{error.what} {error.remedy}{_maybe_caption(source, found, error)}"))
            filled.refused.append(why)
            filled.left.append(left_out(source.name, UNUSABLE, why))
            continue
        path = folder / f"{len(filled.stored) + 1:04}.png"
        files.write_bytes(path, decoded.data)
        files.write_text(path.with_suffix(".txt"), captions[number])
        if decoded.alpha:
            files.write_bytes(mask_beside(path), decoded.alpha)
            masked += 1
        looks.keep(studio, decoded.digest, decoded.look)
        shrunk += decoded.shrunk
        filled.stored.append(number)
        filled.digests.append(decoded.digest)
        filled.sizes.append(len(decoded.data))
        said = [*decoded.notes, *_opted_out(source, decoded.marks)]
        filled.remarks += [plain(source.in_words(remark)) for remark in said]
        filled.opted_out += [len(filled.stored)] * bool(decoded.marks)
    if masked:
        came = "1 picture" if masked == 1 else f"{masked} pictures"
        filled.remarks.append(f"{came} came with a mask: what is transparent. It counts where Learn by masks is on.")
    if shrunk:
        are = "1 picture is" if shrunk == 1 else f"{shrunk} pictures are"
        filled.remarks.append(f"{are} kept at 5 megapixels, the most that is ever learnt; yours stay as they are.")
    return filled


def _opted_out(source: Incoming, marks: list[str]) -> list[str]:
    """That a picture's file forbids to learn from it: said, and left to whoever knows whose it is."""
    by = f"{source.path.name} is marked as not to be used for training AI ({'; '.join(marks)})."
    return [f"{by} Use it only if it is yours, or with its maker's permission."] if marks else []


def _maybe_caption(source: Incoming, found: Sequence[Incoming], error: UserError) -> str:
    """More to say of a text that has a picture's name, but no suffix of a caption."""
    name = source.name
    beside = any(other.name.with_suffix("") == name.with_suffix("") for other in found if other is not source)
    if not beside or "text file" not in error.what:
        return ""
    return f" If it holds a caption, call it {name.stem}.txt."
