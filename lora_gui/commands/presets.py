"""Presets: list them, and keep, rename, share, bring and delete your own."""

import argparse
from typing import TYPE_CHECKING, Any

from lora_gui.commands import Register, as_path, settings_of
from lora_gui.studio.paths import Studio

if TYPE_CHECKING:
    from lora_gui.studio.things.presets import Preset


def add(commands: Any, register: Register) -> None:
    """Put the commands of this file on the command line."""
    parser = register(commands, "presets", run_list, "presets: list them; save, rename, share, add and delete your own")
    parser.set_defaults(show=_lines)
    topics = parser.add_subparsers(metavar="WHAT", parser_class=type(parser))
    register(topics, "list", run_list, "say which presets there are").set_defaults(show=_lines)
    save = register(topics, "save", run_save, "keep settings of your own as a preset")
    save.set_defaults(makes_studio=True)
    save.add_argument("title")
    save.add_argument("--from", dest="start", default="style", metavar="PRESET",
                      help="what it begins from (default: style)")  # fmt: skip
    save.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="what differs; may be repeated")
    rename = register(topics, "rename", run_rename, "give one of your own another name")
    rename.add_argument("preset")
    rename.add_argument("title")
    share = register(topics, "share", run_share, "copy a preset for somebody else")
    share.add_argument("preset")
    share.add_argument("--out", type=as_path, metavar="FOLDER", help="where it is put (default: in your studio)")
    bring = register(topics, "add", run_add, "take in a preset of somebody else")
    bring.set_defaults(makes_studio=True)
    bring.add_argument("file", type=as_path, help="a .toml file, as `presets share` makes one")
    delete = register(topics, "delete", run_delete, "move one of your own to the system's bin")
    delete.add_argument("preset")


def run_list(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """All presets; `own` are the user's."""
    from lora_gui.studio.things import own_presets, presets

    mine = own_presets.own(studio)
    return {"presets": [_told(one) | {"own": key in mine} for key, one in presets.presets(studio).items()]}


def run_save(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    from lora_gui.settings import TrainSettings
    from lora_gui.studio.things import own_presets

    hand = settings_of(options.set, TrainSettings)
    return _told(own_presets.save(studio, options.title, options.start, hand))


def run_rename(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    from lora_gui.studio.things import own_presets

    return _told(own_presets.rename(studio, options.preset, options.title))


def run_share(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    from lora_gui.studio.things import own_presets

    return {"file": str(own_presets.share(studio, options.preset, options.out))}


def run_add(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    from lora_gui.studio.things import own_presets

    return _told(own_presets.bring(studio, options.file))


def run_delete(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    from lora_gui.studio.things import own_presets

    return {"in_the_bin": str(own_presets.delete(studio, options.preset))}


def _told(one: "Preset") -> dict[str, Any]:
    return {"preset": one.key, "title": one.title, "file": str(one.path), "problem": one.problem}


def _lines(said: dict[str, Any]) -> list[str]:
    return [f"{one['preset']:20} {one['title']}{', yours' * one['own']} {one['problem']}".rstrip()
            for one in said["presets"]]  # fmt: skip
