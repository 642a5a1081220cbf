"""The set doctor: what is wrong with a folder of pictures or a picture set, and what to do about it."""

import argparse
from pathlib import Path
from typing import Any

from lora_gui.commands import Register, as_path, note
from lora_gui.studio.paths import Studio

GOAL = "what it is to be (default: style)"


def add(commands: Any, register: Register) -> None:
    """Put the commands of this file on the command line."""
    check = register(commands, "check", run_check, "say what is wrong with pictures and captions")
    check.set_defaults(show=_lines)
    folder = "a folder with pictures, or a picture set of your studio"
    check.add_argument("folder", type=as_path, metavar="FOLDER", help=folder)
    check.add_argument("--base", help="the base that is to learn them (default: one of Stable Diffusion 1.5)")
    check.add_argument("--resolution", type=int, metavar="PX", help="default: the base's own")
    check.add_argument("--trigger", default="", help="the word that is to call the LoRA")
    check.add_argument("--goal", choices=("style", "character", "concept"), default="style", help=GOAL)


def run_check(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """What was found, of each picture and of the set; what cannot be used is named apart."""
    from lora_gui import settings
    from lora_gui.studio.doctor import doctor
    from lora_gui.studio.things import bases, pictures, presets

    if options.resolution is not None:
        settings.check(settings.TrainSettings, {"resolution": options.resolution})
    base, size = bases.find(studio, options.base) if options.base else None, options.resolution or 0
    if base and not size:  # the starter learns at another size than its family
        size = presets.fill(studio, options.goal, base, 1).resolution
    asked = doctor.Asked(base, options.trigger, options.goal, size)
    known = {place.name: place for place in pictures.picture_sets(studio)}
    name = options.folder.name if _is_ours(options.folder, studio) else str(options.folder)
    place = known.get(name)
    patients = doctor.of_set(pictures.load(place)) if place else doctor.of_folder(options.folder)
    found, refused = doctor.judge(studio, patients, asked)
    for sentence in refused:
        note(sentence)
    return found.told() | {"refused": refused}


def _is_ours(folder: Path, studio: Studio) -> bool:
    return folder.absolute().parent == studio.pictures.absolute()


def _lines(found: dict[str, Any]) -> list[str]:
    """For people: the set first, then each picture with something to say of it."""
    lines = [f"{one['says']} {one['remedy']}" for one in found["set"]]
    for picture in found["pictures"]:
        lines += [f"{one['says']} {one['remedy']}" for one in picture["findings"]]
    return lines or [f"Nothing is wrong with these {len(found['pictures'])} pictures."]
