"""Say which families and bases there are."""

import argparse
from typing import Any

from lora_gui.commands import Register
from lora_gui.studio.paths import Studio


def add(commands: Any, register: Register) -> None:
    """Put the commands of this file on the command line."""
    families = register(commands, "families", run_families, "say which bases there are, their licences and sizes")
    families.set_defaults(show=_lines)
    here = register(commands, "bases", run_bases, "say which bases are on this computer, and what cannot be used")
    here.set_defaults(show=_here)


def run_bases(options: argparse.Namespace, studio: Studio) -> dict[str, list[dict[str, Any]]]:
    """The bases on this computer, and what lies among them and cannot be used, with why."""
    from lora_gui.studio.things import bases

    there = [base.model_dump() | {"known": base.known} for base in bases.list_bases(studio)]
    wrong = [{"path": str(path), "what": e.what, "remedy": e.remedy} for path, e in bases.passed_over(studio)]
    return {"bases": there, "unusable": wrong}


def _here(found: dict[str, list[dict[str, Any]]]) -> list[str]:
    lines = [f"{one['key']:20} {one['title']}: {one['family']}, {one['path']}" for one in found["bases"]]
    return lines + [f"not usable: {one['path']}: {one['what']} {one['remedy']}" for one in found["unusable"]]


def run_families(options: argparse.Namespace, studio: Studio) -> list[dict[str, Any]]:
    """Each family with its bases, their licences and sizes, and its dialects."""
    from lora_gui.studio.things.catalogue import catalogue

    return catalogue()


def _lines(found: list[dict[str, Any]]) -> list[str]:
    lines = []
    for family in found:
        lines.append(f"{family['title']}, {family['resolution']} px; LoRA files: {', '.join(family['dialects'])}")
        for base in family["bases"]:
            origin = f"{base['repo']}, {base['gb']:g} GB" if base["repo"] else "ships with the app"
            lines.append(f"  {base['key']:20} {base['title']}: {origin}, {base['licence']}")
    return lines
