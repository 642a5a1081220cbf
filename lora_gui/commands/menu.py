"""LoRA Studio in the applications menu: put there, taken out, or whether it is there."""

import argparse
from typing import Any

from lora_gui.commands import Register
from lora_gui.studio.paths import Studio


def add(commands: Any, register: Register) -> None:
    menu = register(commands, "menu", run_menu, "put LoRA Studio into the applications menu, or take it out")
    menu.add_argument("do", nargs="?", choices=("add", "remove"), help="without either: say whether it is there")


def run_menu(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    from lora_gui.studio import menu

    if options.do == "add":
        menu.add(studio)
    if options.do == "remove":
        menu.remove()
    return {"in_the_menu": menu.entry().exists(), "entry": str(menu.entry())}
