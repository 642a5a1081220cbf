"""The LoRAs of the studio: list, show, rename, edit, star, delete them, and have deleted ones back."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from lora_gui.commands import Register, bringing, files
from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio

if TYPE_CHECKING:
    from lora_gui.studio.library.shelf import Card

WHICH = "its name, or its file"


def add(commands: Any, register: Register) -> None:
    what = "your LoRAs: list, show, rename, edit, star, delete, restore, bring; your key for Civitai"
    parser = register(commands, "loras", run_list, what)
    parser.set_defaults(show=_lines, **_EVERYTHING)
    topics = parser.add_subparsers(metavar="WHAT", parser_class=type(parser))
    listed = register(topics, "list", run_list, "list your LoRAs")
    listed.set_defaults(show=_lines)
    _wishes(listed)
    for topic, run, words in (
        ("show", run_show, "say all that is known of a LoRA"),
        ("rename", run_rename, "give a LoRA another name"),
        ("edit", run_edit, "change what a LoRA's file says of itself, and what you note of it"),
        ("star", run_star, "give a LoRA a star, or take it"),
        ("delete", files.run_delete, "move a LoRA to the bin of your studio"),
        ("restore", run_restore, "have a LoRA back from the bin"),
    ):
        one = register(topics, topic, run, words)
        if topic != "restore":
            one.add_argument("lora", metavar="LORA", help=WHICH)
        _MORE.get(topic, lambda _: None)(one)
    bringing.add(topics, register)


def _wishes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--search", dest="words", default="", metavar="WORDS", help="only those that hold these words")
    parser.add_argument("--family", default="", help="only those of this family, such as sdxl")
    parser.add_argument("--origin", default="", choices=("made", "brought"), help="only those made here, or brought")
    parser.add_argument("--star", action="store_true", help="only those with a star")
    parser.add_argument("--tag", default="", help="only those with this tag")
    parser.add_argument("--sort", default="newest", choices=("newest", "name", "used"), help="(default: newest)")


_EVERYTHING = {"words": "", "family": "", "origin": "", "star": False, "tag": "", "sort": "newest"}


def _edits(parser: argparse.ArgumentParser) -> None:
    for field, words in (
        ("title", "in the file: what it is called"),
        ("trigger", "in the file: the word that calls it"),
        ("description", "in the file: what it does"),
        ("notes", "only for you, never in the file"),
        ("tags", "only for you: words between commas"),
    ):
        parser.add_argument(f"--{field}", help=f"{words}; empty takes it out")
    parser.add_argument("--strength", type=float, help="in the file: the best one to draw with; 0 says none")


_MORE = {
    "rename": lambda one: one.add_argument("name", help="the new one"),
    "edit": _edits,
    "star": lambda one: one.add_argument("--off", action="store_true", help="take it"),
    "restore": lambda one: one.add_argument("lora", metavar="LORA", nargs="?", help="its name; without: what is there"),
}


def run_list(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """`{"loras": [...]}`, the broken ones with `problem` and `remedy`."""
    from lora_gui.studio.library import shelf

    wish = shelf.Wish(**{field: getattr(options, field) for field in _EVERYTHING})
    return {"loras": [_short(card) for card in shelf.wanted(shelf.shelf(studio).cards, wish)]}


def run_show(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """All that is known of one, with its versions."""
    from lora_gui.studio.library import shelf
    from lora_gui.studio.library.versions import versions

    found = shelf.shelf(studio)
    card = shelf.named(studio, found, options.lora)
    told = {"path": str(card.path), "run": card.run, "notes": card.notes.text, "drawings": card.times}
    if card.info:
        wanted = ("title", "description", "base_title", "dialect", "rank", "alpha", "layers", "size", "odd")
        told |= {field: getattr(card.info, field) for field in wanted}
    kept = [{"step": one.step, "lora": one.path.stem if one.path else ""} for one in versions(studio, card, found)]
    return _short(card) | told | {"versions": kept}


def run_rename(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    from lora_gui.studio.library import changes

    return {"lora": str(changes.rename(studio, _card(options, studio), options.name))}


def run_edit(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    from lora_gui.studio.library import changes, notes

    card = _card(options, studio)
    given = {field: getattr(options, field) for field in ("title", "trigger", "strength", "description")}
    given = {field: value for field, value in given.items() if value is not None}
    noted = {"text": options.notes, "tags": None if options.tags is None else notes.tags(options.tags)}
    noted = {field: value for field, value in noted.items() if value is not None}
    if not given and not noted:
        raise UserError("Nothing was named that shall change.", "Name it, such as --trigger zxy_style.")
    if given:
        changes.say(studio, card, changes.says(card, **given))
    if noted:
        changes.note(studio, card, **noted)
    return run_show(options, studio)


def run_star(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    from lora_gui.studio.library import changes

    card = _card(options, studio)
    return {"lora": card.name, "star": changes.note(studio, card, star=not options.off).star}


def run_restore(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """Where it lies again; without a name, what is in the bin."""
    from lora_gui.studio.library import bin

    if options.lora is None:
        return {"bin": [{"name": one.name, "bytes": one.size} for one in bin.binned(studio)]}
    return {"lora": str(bin.restore(studio, bin.find(studio, options.lora)))}


def _card(options: argparse.Namespace, studio: Studio) -> Card:
    from lora_gui.studio.library import shelf

    return shelf.named(studio, shelf.shelf(studio), options.lora)


def _short(card: Card) -> dict[str, Any]:
    told: dict[str, Any] = {"name": card.path.stem, "family": card.family, "came": card.came}
    told |= {"star": card.notes.star, "tags": [*card.notes.tags], "made_here": bool(card.run), "used": card.used}
    if not card.info:
        return told | {"problem": card.what, "remedy": card.remedy}
    return told | {"trigger": card.info.trigger, "strength": card.info.strength}


def _lines(result: dict[str, Any]) -> list[str]:
    rows = []
    for one in result["loras"]:
        star = "*" if one["star"] else " "
        about = one.get("problem") or ", ".join(filter(None, (one["family"], one["trigger"], *one["tags"])))
        rows.append(f"{star} {one['name']}  {about}")
    return rows or ["There is no LoRA."]
