"""Captions shaped by what is to be learnt: suggested, and written only where they are asked for."""

import argparse
from pathlib import Path
from typing import Any

from lora_gui.commands import Register, note
from lora_gui.studio.paths import Studio


def add(commands: Any, register: Register) -> None:
    """Put the commands of this file on the command line."""
    caption = register(commands, "caption", run_caption, "suggest captions for the pictures of a folder")
    caption.set_defaults(show=_lines)
    caption.add_argument("folder", type=Path, metavar="FOLDER", help="a folder with pictures")
    caption.add_argument("--trigger", default="", help="the word that is to call the LoRA")
    caption.add_argument("--goal", choices=("style", "character", "concept"), default="style", help="what it is to be")
    caption.add_argument(
        "--from",
        dest="source",
        choices=("filename", "captions"),
        default="filename",
        help="what they are made of: the names of the files, or the captions that are there (default: filename)",
    )
    caption.add_argument("--write", action="store_true", help="write them where there is no caption yet")
    caption.add_argument("--replace", action="store_true", help="with --write: in place of others, too")


def run_caption(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """A suggestion for each picture; which were written, and how many say nothing that could be suggested."""
    from lora_gui import files
    from lora_gui.studio.doctor import doctor
    from lora_gui.studio.things import goals

    found, written = [], 0
    for one in doctor.of_folder(options.folder):
        said = goals.of_file_name(one.file) if options.source == "filename" else one.caption
        suggestion = goals.shortened(said, options.goal, options.trigger) if said else ""
        found.append({"file": one.file, "was": one.caption, "suggestion": suggestion})
        if options.write and suggestion and (options.replace or not one.caption):
            files.write_text(one.path.with_suffix(".txt"), suggestion)
            written += 1
    silent = sum(not one["suggestion"] for one in found)
    if silent:
        note(f"{silent} of {len(found)} say nothing that a caption could be made of.")
    return {"captions": found, "written": written}


def _lines(found: dict[str, Any]) -> list[str]:
    lines = [f"{one['file']}: {one['suggestion'] or 'nothing to suggest'}" for one in found["captions"]]
    return [*lines, *([f"{found['written']} were written."] if found["written"] else [])]
