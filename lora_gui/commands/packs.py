"""Runs on other computers: packed into one folder here, trained there, taken back."""

import argparse
from typing import Any

from lora_gui.commands import Register, as_path, given, know_defaults, note
from lora_gui.commands.train import add_settings, order
from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio


def add(commands: Any, register: Register) -> None:
    """Put the commands of this file on the command line."""
    pack = register(commands, "pack", run_pack, "put a training into one folder, for another computer to do")
    pack.set_defaults(makes_studio=True)
    pack.add_argument("what", metavar="RUN|SET", help="a run that is not going on, or a picture set: see pictures list")
    pack.add_argument("--to", type=as_path, required=True, metavar="FOLDER", help="the folder that is made")
    pack.add_argument("--with-base", action="store_true", help="put the base into it, too, which may be large")
    pack.add_argument("--trigger", help="of a set: the word that calls the LoRA")
    pack.add_argument("--name", help="of a set: the name of the LoRA")
    add_settings(pack)
    know_defaults(pack, "trigger", "name", "preset", "base", "vram", "set")  # which are of a new training
    take = register(commands, "take", run_take, "take back what a packed training has become: LoRA, samples, events")
    take.set_defaults(makes_studio=True)
    take.add_argument("folder", type=as_path, metavar="FOLDER", help="the packed folder, copied back")


def run_pack(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    from lora_gui.studio.tasks import packing, runs
    from lora_gui.studio.things import pictures

    place = studio.pictures / options.what
    if place not in pictures.picture_sets(studio):
        run = runs.find(studio, options.what)
        if more := given(options):
            what = f"A run is packed with the settings that it has, without --{', --'.join(more)}."
            raise UserError(what, "Leave that out, or pack its picture set.")
        return packing.pack(studio, run, options.to, options.with_base)
    if not options.trigger or not options.name:
        raise UserError("A picture set is no training yet.", "Add --trigger WORD and --name NAME.")
    job = order(options, studio, pictures.load(place))
    return packing.pack_new(studio, job, options.to, options.with_base)


def run_take(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    from lora_gui.studio.tasks import taking

    found = taking.take(studio, options.folder)
    for name in found["left"]:
        note(f"{name} is not what it should be, so it was left there.")
    for sentence in found["notes"]:
        note(sentence)
    return found
