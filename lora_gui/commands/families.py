"""Say which families and bases are known."""

import argparse
from typing import Any

from lora_gui.commands import Register
from lora_gui.studio.paths import Studio


def add(commands: Any, register: Register) -> None:
    """Put the commands of this file on the command line."""
    families = register(commands, "families", run_families, "say which bases there are, their licences and sizes")
    families.set_defaults(show=_lines)


def run_families(options: argparse.Namespace, studio: Studio) -> dict[str, list[dict[str, Any]]]:
    """Each family with its bases, their licences and sizes, and its dialects."""
    from lora_gui.studio.things.catalogue import catalogue

    return {"families": catalogue()}


def _lines(found: dict[str, list[dict[str, Any]]]) -> list[str]:
    lines = []
    for family in found["families"]:
        lines.append(f"{family['title']}, {family['resolution']} px; LoRA files: {', '.join(family['dialects'])}")
        for base in family["bases"]:
            origin = f"{base['repo']}, {base['gb']:g} GB" if base["repo"] else "ships with the app"
            lines.append(f"  {base['key']:20} {base['title']}: {origin}, {base['licence']}")
    return lines
