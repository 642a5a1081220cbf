"""The bases of this computer: list them, find those of other programs, add and remove."""

import argparse
from typing import Any

from lora_gui.commands import Register, as_path, downloads, once
from lora_gui.studio.paths import Studio


def add(commands: Any, register: Register) -> None:
    """Put the commands of this file on the command line; without a further word the bases are listed."""
    what = "the bases on this computer: list, find, add, download, remove, sign in to the hub"
    top = register(commands, "bases", run_list, what)
    top.set_defaults(show=_here)
    further = top.add_subparsers(metavar="ACT", parser_class=type(top))
    here = register(further, "list", run_list, "say which bases are on this computer, and what cannot be used")
    here.set_defaults(show=_here)
    drives = "on every drive, or on those that LORA_GUI_DRIVES names"
    find = register(further, "find", run_find, f"look for bases of other programs {drives}")
    find.set_defaults(show=_found, makes_studio=True)
    one = register(further, "add", run_add, "use a base where it lies: a folder or a file")
    one.add_argument("path", type=as_path, help="a diffusers folder, a checkpoint, or a network that one of them lacks")
    one.set_defaults(makes_studio=True)
    gone = register(further, "remove", run_remove, "forget a base; only what the app itself has made is deleted")
    gone.add_argument("base", help="its name, as `bases list` says it")
    gone.add_argument("--yes", action="store_true", help="do it; without this, say only what would be freed")
    downloads.add(further, register)


def run_list(options: argparse.Namespace, studio: Studio) -> dict[str, list[dict[str, Any]]]:
    """The bases on this computer, what lies among them and cannot be used, with why, and what is gone."""
    from lora_gui.studio.finding import found
    from lora_gui.studio.things import bases

    usable, passed_over = bases.both(studio)
    there = [base.model_dump() | {"known": base.known} for base in usable]
    wrong = [{"path": str(path), "what": e.what, "remedy": e.remedy} for path, e in passed_over]
    now = found.now(found.remembered(studio).bases)
    lost = [{"path": one.path, "program": one.program, "silent": one in now.silent} for one in (*now.gone, *now.silent)]
    return {"bases": there, "unusable": wrong, "gone": lost}


def run_find(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """Everything that was found, by the program it was found with."""
    from lora_gui.studio.finding.look import look

    work, tell = look(studio), once()
    while True:
        try:
            progress = next(work)
        except StopIteration as end:
            result = end.value
            break
        tell(f"{progress.program}: {progress.place}")
    told = [{name: getattr(one, name) for name in ("path", "family", "like", "program")} for one in result.things]
    return {"bases": [one for one in told if one["family"]], "parts": [one for one in told if not one["family"]],
            "others": result.others, "left": list(result.left)}  # fmt: skip


def run_add(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """What was added."""
    from lora_gui.studio.finding.look import add as add_thing

    one = add_thing(studio, options.path)
    return {"path": one.path, "family": one.family, "like": one.like}


def run_remove(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """What was freed, or would be."""
    from lora_gui.studio.things import base_removal, bases

    removal = base_removal.of(studio, bases.find(studio, options.base))
    if options.yes:
        base_removal.carry_out(studio, removal)
    return {"said": removal.sentence, "bytes": removal.size, "done": bool(options.yes)}


def _here(result: dict[str, list[dict[str, Any]]]) -> list[str]:
    lines = [f"{one['key']:20} {one['title']}: {one['family']}, {one['path']}" for one in result["bases"]]
    lines += [f"not usable: {one['path']}: {one['what']} {one['remedy']}" for one in result["unusable"]]
    why = {True: "its drive does not answer", False: "not there any more"}
    return lines + [f"{why[one['silent']]}: {one['path']} ({one['program']})" for one in result["gone"]]


def _found(result: dict[str, Any]) -> list[str]:
    lines = [f"{one['family']:12} {one['path']} ({one['program']})" for one in result["bases"]]
    lines += [f"{one['like']:12} {one['path']} ({one['program']})" for one in result["parts"]]
    lines += [f"also seen: {count} x {kind}" for kind, count in result["others"].items()]
    return (lines or ["No base of another program was found."]) + result["left"]
