"""Captions shaped by what is to be learnt: suggested, and written only where they are asked for."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_gui.commands import EndedEarly, Register, as_path, note, once
from lora_gui.commands.check import GOAL
from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio

if TYPE_CHECKING:
    from lora_gui.studio.doctor.doctor import Patient

_FROM = (
    "what they are made of: filename (the default); captions, those that are there; the kind of a captioner: blip,"
    " blip2, florence, qwen, tagger or interrogator; or the folder of one"
)


def add(commands: Any, register: Register) -> None:
    """Put the commands of this file on the command line."""
    caption = register(commands, "caption", run_caption, "suggest captions for the pictures of a folder")
    caption.set_defaults(show=_lines)
    caption.add_argument("folder", type=as_path, metavar="FOLDER", help="a folder with pictures")
    caption.add_argument("--trigger", default="", help="the word that is to call the LoRA")
    caption.add_argument("--goal", choices=("style", "character", "concept"), default="style", help=GOAL)
    caption.add_argument("--from", dest="source", metavar="SOURCE", default="filename", help=_FROM)
    caption.add_argument("--question", default="", help="what a captioner is asked that is asked in words (Qwen-VL)")
    for name, usual, what in (("general", 0.35, "tag"), ("character", 0.85, "character's name")):
        help = f"probability from which a tagger's {what} is taken (default: {usual})"
        caption.add_argument(f"--{name}", type=float, default=usual, metavar="SHARE", help=help)
    caption.add_argument("--on-processor", action="store_true", help="with the processor, beside what has the card")
    caption.add_argument("--write", action="store_true", help="write them where there is no caption yet")
    caption.add_argument("--replace", action="store_true", help="with --write: in place of others, too, in their files")


def run_caption(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """A suggestion for each picture; which were written, and how many say nothing that could be suggested.

    What a captioner said before it ended early is suggested, and written, all the same.
    """
    from lora_gui import files
    from lora_gui.studio.doctor import doctor
    from lora_gui.studio.things import goals
    from lora_gui.studio.things.caption_places import CaptionPlaces

    pictures = doctor.of_folder(options.folder)
    descriptions, ended = _descriptions(options, studio, pictures)
    where = CaptionPlaces(options.folder) if options.write else None
    found, written, left = [], 0, 0
    for one, said in zip(pictures, descriptions, strict=True):
        suggestion = goals.shortened(said, options.goal, options.trigger) if said else ""
        found.append({"file": one.file, "was": one.caption, "suggestion": suggestion, "said": said})
        if where and suggestion and (options.replace or not one.caption):
            places = where.of(one.path, one.caption, options.replace)
            for place in places:
                files.write_text(place, suggestion)
            written, left = written + bool(places), left + (not places)
    if left:
        note(f"{left} have a caption in a table, or several that differ, and keep them. Change those by hand.")
    result = {"captions": found, "written": written}
    if ended:
        raise EndedEarly(ended.what, ended.remedy, result)
    silent = sum(not one["suggestion"] for one in found)
    if silent:
        note(f"{silent} of {len(found)} say nothing that a caption could be made of.")
    return result


def _descriptions(
    options: argparse.Namespace, studio: Studio, pictures: "Sequence[Patient]"
) -> tuple[list[str], UserError | None]:
    """What is known of each picture, and why no more is."""
    from lora_gui.studio.things import goals

    plain = {"filename": lambda one: goals.of_file_name(one.file), "captions": lambda one: one.caption}
    if options.source in plain:
        return [plain[options.source](one) for one in pictures], None
    return _described(options, studio, [one.path for one in pictures])


def _described(
    options: argparse.Namespace, studio: Studio, paths: Sequence[Path]
) -> tuple[list[str], UserError | None]:
    from lora_gui.studio.tasks import captioning
    from lora_gui.studio.things import captioners

    for name in ("general", "character"):
        if not 0 < getattr(options, name) < 1:
            raise UserError(f"--{name} is {getattr(options, name):g}.", "It is a share between 0 and 1, such as 0.35.")
    found = captioners.find(studio, options.source)
    said: dict[int, str] = {}
    ended: UserError | None = None
    with captioning.decoded(studio, paths) as copies:
        for one in copies:
            if isinstance(one, UserError):
                note(f"{one.what} {one.remedy}")
        usable = {at: one for at, one in enumerate(copies) if isinstance(one, Path)}
        if not usable:
            raise UserError("None of these pictures can be used.", "Choose others; why is said above.")
        least = options.general, options.character
        job = captioning.job_of(
            found, list(usable.values()), options.goal, options.question, options.on_processor, least
        )
        try:
            for sentence in captioning.describe(studio, job, said, once()):
                note(sentence)
        except UserError as error:
            ended = error
        except KeyboardInterrupt:
            ended = UserError("Stopped.", f"{len(said)} of {len(usable)} pictures were described by then.")
    texts = {at: said.get(number, "") for number, at in enumerate(usable)}
    return [texts.get(at, "") for at in range(len(paths))], ended


def _lines(found: dict[str, Any]) -> list[str]:
    lines = [f"{one['file']}: {one['suggestion'] or 'nothing to suggest'}" for one in found["captions"]]
    return [*lines, *([f"{found['written']} were written."] if found["written"] else [])]
