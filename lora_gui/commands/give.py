"""Give a LoRA away: as a file for another program, as a folder to share, for Civitai, on the Hub."""

import argparse
import re
import shlex
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_gui.commands import Register, as_path, given, know_defaults, note, once
from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio

if TYPE_CHECKING:
    from lora_gui.studio.tasks.drawing import Drawer
    from lora_gui.studio.things.loras import LoraInfo

_OUT = (
    "where it is put (default: in your studio). A folder that is there gets it under a name of its own. A new name is,"
    " for a program, that of a folder to hold it; to share, of the folder itself; for civitai, of the zip, with .zip"
)


def add(commands: Any, register: Register) -> None:
    """Put the commands of this file on the command line."""
    give = register(commands, "give", run_give, "give a LoRA away, read back and drawn with before it is done")
    give.set_defaults(makes_studio=True)
    give.add_argument("name", help="a LoRA of your studio, or its file")
    give.add_argument("way", nargs="?", choices=tuple(_WAYS), help="how it is given, if not for a program")
    give.add_argument("--for", dest="program", metavar="PROGRAM",
                      help="comfyui, forge, diffusers, invokeai or kohya")  # fmt: skip
    give.add_argument("--out", type=as_path, metavar="FOLDER", help=_OUT)
    give.add_argument("--drawing", type=as_path, action="append", default=[], metavar="FILE",
                      help="a drawing to go with it; may be repeated (default: some are made)")  # fmt: skip
    give.add_argument("--strength", type=float, help="that it is recommended at (default: what its file says, or 1)")
    give.add_argument("--repo", metavar="YOU/NAME", help="to publish: its place on the Hugging Face Hub")
    give.add_argument("--public", action="store_true", help="to publish: for everybody (default: for you alone)")
    give.add_argument("--folder", type=as_path, help="to publish: a folder that was shared before, as it is")
    give.add_argument("--yes", action="store_true", help="to publish: upload; without it, what would be is shown")
    know_defaults(give, *_HEEDED["publish"])  # which heeds them all


def run_give(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """What was made, and how it was proven to be the same LoRA."""
    if not (options.way or options.program):
        raise UserError("Nobody is named to give it to.", "Add --for PROGRAM, or one of: " + ", ".join(_WAYS) + ".")
    if options.way and options.program:
        raise UserError("A LoRA is given in one way at a time.", f"Leave out --for, or {options.way}.")
    if unheard := [name for name in given(options) if name not in _HEEDED.get(options.way, ())]:
        what = f"--{', --'.join(unheard)} says nothing to {options.way or 'a program'}."
        raise UserError(what, "Leave that out, or give it in the way that is meant.")
    return _WAYS[options.way](options, studio) if options.way else _for_program(options, studio)


def _for_program(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    from lora_gui.studio.giving import exports
    from lora_gui.studio.things import loras

    with _drawer(studio) as drawer:
        lora = loras.find(studio, options.name)
        given = exports.for_program(studio, drawer, lora, options.program, options.out, once())
    return {
        "file": str(given.file),
        "program": given.program,
        "dialect": given.dialect,
        "drawn": given.proof.drawn,
        "proof": given.proof.sentence,
        "left_out": list(given.left_out),
    }


def _share(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    from lora_gui.studio.giving import share
    from lora_gui.studio.things import loras

    with _drawer(studio) as drawer:
        lora = loras.find(studio, options.name)
        place = _place(options, lora.name)
        made = share.share(studio, drawer, lora, options.drawing, _strength(options, lora), place, once())
    for sentence in made.notes:
        note(sentence)
    return {
        "folder": str(made.folder),
        "lora": made.lora,
        "files": made.files,
        "proofs": list(made.proofs),
        "holds_back": made.contract.holds_back,
    }


def _civitai(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    from lora_gui.studio.giving import civitai
    from lora_gui.studio.things import loras

    with _drawer(studio) as drawer:
        lora = loras.find(studio, options.name)
        place = _place(options, f"{lora.name}-civitai", ".zip")
        made = civitai.pack(studio, drawer, lora, options.drawing, _strength(options, lora), place, once())
    for sentence in made.notes:
        note(sentence)
    checklist = [line for line in made.checklist.splitlines() if line]
    return {"file": str(made.file), "files": list(made.files), "proofs": list(made.proofs), "checklist": checklist}


def _publish(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """Shown first; uploaded only with --yes."""
    from lora_gui.studio.giving import publish
    from lora_gui.studio.library import contracts
    from lora_gui.studio.things import loras

    if not options.repo:
        raise UserError("Nobody says where on the Hub it goes.", "Add --repo YOU/NAME.")
    if options.folder:
        folder, name = options.folder, publish.lora_in(options.folder)
    else:
        contracts.require_publishable(loras.find(studio, options.name).path)
        made = _share(options, studio)
        folder, name = Path(made["folder"]), made["lora"]
    what = publish.shown(folder, name, options.repo, not options.public)
    said = {"folder": str(folder), "repo": what.repo, "private": what.private, "files": what.sizes, "card": what.card}
    if not options.yes:
        exactly = ["give", options.name, "publish", "--folder", str(folder), "--repo", what.repo]
        again = _in_shell([*exactly, *(["--public"] if options.public else []), "--yes"])
        note(f"Nothing was sent. To publish exactly this, say: {again}")
        return said | {"address": ""}
    tenths = once()
    return said | {"address": publish.publish(studio, what, lambda words: tenths(re.sub(r"\d %", "0 %", words)))}


def _place(options: argparse.Namespace, name: str, suffix: str = "") -> Path | None:
    """What is made: under a free name in a folder that is there, else called as --out says; None in the studio."""
    from lora_gui import files

    out: Path | None = options.out
    if out and out.is_dir():
        return files.free_name(out, name, suffix)
    return out.with_name(out.name + suffix) if out and not out.name.lower().endswith(suffix) else out


def _in_shell(words: list[str]) -> str:
    """A command as it is typed; to the shell of Windows a single quote is a letter."""
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)


def _strength(options: argparse.Namespace, lora: "LoraInfo") -> float:
    from lora_gui.refusals import bounds
    from lora_gui.settings import StackEntry

    if options.strength is None:
        return lora.strength or 1.0
    strongest = bounds(StackEntry.model_fields["strength"])["le"]
    if not 0 < options.strength <= strongest:
        what = f"A strength to be recommended is above 0 and at most {strongest:g}."
        raise UserError(what, "Leave --strength out for what its file says, or 1.")
    return float(options.strength)


def _drawer(studio: Studio) -> "closing[Drawer]":
    from lora_gui.studio.tasks.drawing import Drawer

    return closing(Drawer(studio))


_HEEDED = {
    "share": ("drawing", "strength"), "civitai": ("drawing", "strength"),
    "publish": ("drawing", "strength", "repo", "public", "folder", "yes"),
}  # fmt: skip
_WAYS = {"share": _share, "civitai": _civitai, "publish": _publish}
