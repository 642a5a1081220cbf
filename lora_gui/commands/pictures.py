"""The picture sets of the studio: what there is, and away with what is not needed any more."""

import argparse
from pathlib import Path
from typing import Any

from lora_gui.commands import Register
from lora_gui.studio.paths import Studio


def add(commands: Any, register: Register) -> None:
    """Put the commands of this file on the command line."""
    pictures = register(commands, "pictures", run_list, "list the picture sets of your studio, or delete one")
    pictures.set_defaults(show=_lines)
    actions = pictures.add_subparsers(metavar="ACTION")
    register(actions, "list", run_list, "list the picture sets of your studio").set_defaults(show=_lines)
    delete = register(actions, "delete", run_delete, "move a picture set of your studio to the system's bin")
    delete.add_argument("set", metavar="SET", help="its name, as the list has it")


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

    place = studio.pictures / Path(options.set).name
    pictures.delete_set(studio, place)
    return {"in_the_bin": str(place)}


def _lines(found: dict[str, Any]) -> list[str]:
    lines = []
    for one in found["sets"]:
        used = f", used by {', '.join(one['used_by'])}" if one["used_by"] else ""
        lines.append(
            f"{one['set']}  {one['title']}: {one['count']} pictures, {one['captions']} with captions,"
            f" {one['size'] / 1e6:.1f} MB{used}{one['problem'] and '. ' + one['problem']}"
        )
    return lines or ["There are no picture sets yet."]
