"""The picture sets of the studio: what there is, and away with what is not needed any more."""

import argparse
from typing import Any

from lora_gui.commands import Register, as_path, set_captions
from lora_gui.studio.paths import Studio

SOURCES = "folders, pictures, captions or zip archives"
_NUMBERS = "as their files are called, such as 3 for 003.png"


def add(commands: Any, register: Register) -> None:
    """Put the commands of this file on the command line."""
    what = "your picture sets: list, rename, add to, split, repeat, caption, undo, delete"
    pictures = register(commands, "pictures", run_list, what)
    pictures.set_defaults(show=_lines)
    actions = pictures.add_subparsers(metavar="ACTION")
    register(actions, "list", run_list, "list the picture sets of your studio").set_defaults(show=_lines)
    delete = register(actions, "delete", run_delete, "move a picture set of your studio to the system's bin")
    delete.add_argument("set", metavar="SET", help="its name, as the list has it")
    rename = register(actions, "rename", run_rename, "give a picture set another name")
    rename.add_argument("set", metavar="SET")
    rename.add_argument("title", metavar="NAME")
    more = register(actions, "add", run_add, "bring more pictures into a picture set")
    more.add_argument("set", metavar="SET")
    more.add_argument("sources", metavar="PATH", type=as_path, nargs="+", help=SOURCES)
    add_ground(more)
    split = register(actions, "split", run_split, "move some pictures of a set into a new one")
    split.add_argument("set", metavar="SET")
    split.add_argument("title", metavar="NAME", help="of the new set")
    split.add_argument("--numbers", type=int, nargs="+", required=True, metavar="N", help=_NUMBERS)
    repeat = register(actions, "repeat", run_repeat, "let some pictures of a set be learnt more often than others")
    repeat.add_argument("set", metavar="SET")
    repeat.add_argument("times", metavar="TIMES", type=int, help="how often each counts; 1 as any other")
    repeat.add_argument("--numbers", type=int, nargs="+", required=True, metavar="N", help=_NUMBERS)
    set_captions.add(actions, register)


def add_ground(command: argparse.ArgumentParser) -> None:
    """The option that says what is learnt where pictures are transparent."""
    command.add_argument(
        "--ground", default="", metavar="COLOUR", help="what is behind transparent pictures: a name or #204060 (white)"
    )


def run_list(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """Every set with what it holds, what it needs on the disk and who learns from it."""
    from lora_gui.studio.things import pictures

    shown = ("title", "count", "captions", "size", "made", "problem")
    return {
        "sets": [
            {"set": one.folder.name, "folder": str(one.folder), "used_by": list(one.used_by)}
            | {field: getattr(one, field) for field in shown}
            for one in pictures.sets(studio)
        ]
    }


def run_delete(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """Where the set lies that is in the bin now. Raises UserError while a run needs it."""
    from lora_gui.studio.things import pictures

    place = set_captions.named(options.set, studio)
    pictures.delete_set(studio, place)
    return {"in_the_bin": str(place)}


def run_rename(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """The set with its new name."""
    from lora_gui.studio.things import set_work

    place = set_captions.place_of(options, studio)
    return {"set": place.name, "title": set_work.rename(place, options.title)}


def run_add(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """How many pictures there are now."""
    from lora_gui.studio.things import set_work

    place = set_captions.place_of(options, studio)
    found, refused = set_work.add(studio, place, options.sources, ground=options.ground)
    return {"set": found.folder.name, "count": len(found.pictures), "refused": refused}


def run_split(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """The new set."""
    from lora_gui.studio.things import set_work

    place = set_captions.place_of(options, studio)
    made = set_work.split(studio, place, options.numbers, options.title)
    return {"set": made.folder.name, "folder": str(made.folder), "count": len(made.pictures)}


def run_repeat(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """How often each picture counts now, by its number."""
    from lora_gui.studio.things import set_work

    found = set_work.repeat(set_captions.place_of(options, studio), options.numbers, options.times)
    return {"set": found.folder.name, "repeats": {int(one.path.stem): one.repeats for one in found.pictures}}


def _lines(found: dict[str, Any]) -> list[str]:
    lines = []
    for one in found["sets"]:
        used = f", used by {', '.join(one['used_by'])}" if one["used_by"] else ""
        lines.append(
            f"{one['set']}  {one['title']}: {one['count']} pictures, {one['captions']} with captions,"
            f" {one['size'] / 1e6:.1f} MB{used}{one['problem'] and '. ' + one['problem']}"
        )
    return lines or ["There are no picture sets yet."]
