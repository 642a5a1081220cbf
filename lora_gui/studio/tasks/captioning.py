"""Have pictures described by a captioner, in a child of its own; what was said before an end counts all the same."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from PIL import Image

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.formats.captioners import SIDE, Captioner
from lora_gui.protocol import events
from lora_gui.protocol.jobs import CaptionJob
from lora_gui.studio.paths import Studio
from lora_gui.studio.sandbox import several
from lora_gui.studio.tasks import process
from lora_gui.studio.things.names import clean_caption

LONGEST = 24 * 3600.0  # seconds; a large captioner on a processor takes minutes for each picture
MOST = 400  # characters of a description; what goes on longer repeats itself
# What those are asked that are asked in words; the goal's rules shorten what they answer.
QUESTIONS = {
    "style": "Name in one short sentence what is shown, not how it is drawn or photographed.",
    "character": "Say in one short sentence what the person or figure does, wears, and where it is.",
    "concept": "Say in one short sentence what is around the main thing, and where it is.",
}
Say = Callable[[str], None]  # empty words: still the same; what it raises ends the work


def describe(studio: Studio, job: CaptionJob, said: dict[int, str], say: Say) -> list[str]:
    """Put what is said of each picture into `said`, by its number, as it comes; sentences about what was left out.

    Raises UserError where it could not be done; what came by then stands in `said`.
    """
    notes: list[str] = []
    cut = 0

    def hear(event: events.Event | None) -> None:
        nonlocal cut
        match event:
            case events.Described(number, text) if 0 <= number < len(job.pictures):
                said[number], was_cut = shortened(text)
                cut += was_cut
            case events.Note(text):
                notes.append(text)
        say(_words(event))

    log = studio.cache / "captions.txt"
    job = job.model_copy(update={"studio": str(studio.home)})
    last = process.follow("caption", job.model_dump_json(), log, hear, LONGEST)
    if not isinstance(last, events.Done):
        raise UserError(*process.cause(log))
    silent = sum(not text for text in said.values())
    many = len(job.pictures)
    if cut:
        notes.append(f"What was said of {cut} of {many} pictures was very long and is cut short.")
    if silent:
        notes.append(f"Nothing was said of {silent} of {many} pictures.")
    return notes


def job_of(found: Captioner, pictures: Sequence[Path], goal: str, question: str = "", on_processor: bool = False,
           least: tuple[float, float] = (0.35, 0.85)) -> CaptionJob:  # fmt: skip
    """The order for pictures of our own making; `least` are the probabilities from which a tag and a name are taken."""
    return CaptionJob(
        model=str(found.path), title=found.title, pictures=tuple(map(str, pictures)),
        question=question.strip() or QUESTIONS.get(goal, QUESTIONS["style"]),
        general=least[0], character=least[1], on_processor=on_processor,
    )  # fmt: skip


def shortened(text: str) -> tuple[str, bool]:
    """What a captioner says, as a caption of bearable length, and whether it was cut."""
    plain = clean_caption(text[: 20 * MOST])
    return (plain, False) if len(plain) <= MOST else (plain[:MOST].rpartition(" ")[0] or plain[:MOST], True)


@contextlib.contextmanager
def decoded(studio: Studio, paths: Sequence[Path]) -> Iterator[list[Path | UserError]]:
    """Small copies of strangers' pictures for a captioner to look at, or why there is none; gone at the end."""
    folder = files.half_made(studio.cache / "captioning")
    files.make_folder(folder)
    try:
        found: list[Path | UserError] = []
        for number, data in enumerate(several.decoded(paths, lambda decoder, path: _small(decoder.decode(path).data))):
            if isinstance(data, UserError):
                found.append(data)
            else:
                files.write_bytes(folder / f"{number:05}.png", data)
                found.append(folder / f"{number:05}.png")
        yield found
    finally:
        files.remove_folder(folder)


def _small(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as picture:
        picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        out = io.BytesIO()
        picture.save(out, "PNG", compress_level=1)
        return out.getvalue()


def _words(event: events.Event | None) -> str:
    match event:
        case events.Phase(name, done, of) if of:
            return f"{name}, {done} of {of}, {done * 100 // of} %"
        case events.Phase(name):
            return name
    return ""
