"""Draw again what a picture shows, by what it says of itself."""

import argparse
from typing import Any

from lora_gui.commands import Register, as_path, note
from lora_gui.studio.paths import Studio


def add(commands: Any, register: Register) -> None:
    """Put the commands of this file on the command line."""
    again = register(commands, "again", run_again, "draw again what a picture of ours or another program shows")
    again.set_defaults(makes_studio=True)
    again.add_argument("file", type=as_path)
    again.add_argument("--base", help="draw with this one (default: the one that the picture names)")
    again.add_argument("--read", action="store_true", help="only say what the picture says, and draw nothing")
    again.add_argument("--out", type=as_path, metavar="DIR", help="where the drawing goes (default: your studio)")


def run_again(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """What the picture says, what of it could not be carried over, and the drawing."""
    from lora_gui.commands.draw import drawn
    from lora_gui.studio import again
    from lora_gui.studio.things import bases

    found = again.read(studio, options.file, bases.find(studio, options.base) if options.base else None)
    for sentence in found.left:
        note(sentence)
    said = {
        "program": found.program,
        "base": found.base.key,
        "settings": found.settings.model_dump(mode="json"),
        "left": list(found.left),
    }
    return said if options.read else said | drawn(studio, found.base, found.settings, options.out)
