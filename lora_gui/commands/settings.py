"""Settings files: those of other trainers read, ours written and trained from; presets of your own."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_gui.commands import Register, as_path, note
from lora_gui.commands.runs import WHICH, add_processes
from lora_gui.commands.train import add_hand, add_pictures
from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio

if TYPE_CHECKING:
    from lora_gui.formats.trainers.carried import Carried

_FILE = "of kohya's sd-scripts, OneTrainer, ai-toolkit, SimpleTuner, LyCORIS or this app: TOML, JSON or YAML"


def add(commands: Any, register: Register) -> None:
    """Put the commands of this file on the command line."""
    parser = register(commands, "settings", _nothing, "settings of other trainers and of ours, in one file")
    topics = parser.add_subparsers(metavar="WHAT", parser_class=type(parser), required=True)
    read = register(topics, "read", run_read, "say what of a settings file would be carried over, and what not")
    read.add_argument("file", type=as_path, help=_FILE)
    read.set_defaults(show=_lines)
    write = register(topics, "write", run_write, "write the settings of a run as a file that starts it elsewhere")
    write.add_argument("run", metavar="RUN", help=WHICH)
    write.add_argument("--out", type=as_path, required=True, metavar="FILE", help="nothing is overwritten")
    train = register(topics, "train", run_train, "train with a settings file")
    train.add_argument("file", type=as_path, help=_FILE)
    add_pictures(train)
    for option in ("trigger", "name", "preset", "base"):
        train.add_argument(f"--{option}", help="in place of what the file says")
    add_hand(train)
    add_processes(train, 1, "1")


def run_read(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """What the file asks for, in our names."""
    found = _read(options.file, studio)
    fields = ("program", "name", "trigger", "preset", "base", "left", "own_way")
    return {field: getattr(found, field) for field in fields} | {"settings": found.values}


def run_write(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """Where the file is."""
    from lora_gui.studio.tasks import runs
    from lora_gui.studio.things import settings_files

    return {"file": str(settings_files.write(runs.find(studio, options.run).job, options.out))}


def run_train(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """As `train`, with what the file says."""
    from lora_gui.commands import train

    found = _read(options.file, studio)
    for sentence in found.left:
        note(f"Not carried over: {sentence}")
    given = {name: getattr(options, name) or getattr(found, name) for name in ("trigger", "name", "preset", "base")}
    for name in ("trigger", "name"):
        if not given[name]:
            raise UserError(f"{options.file.name} says no {name}.", f"Add --{name}.")
    settings = [f"{name}={_typed(value)}" for name, value in found.values.items()]
    more = {"preset": given["preset"] or "style", "base": given["base"] or "starter"}
    for name, value in (given | more).items():
        setattr(options, name, value)
    options.set = [*settings, *options.set]
    return train.run_train(options, studio)


def _read(file: Path, studio: Studio) -> "Carried":
    from lora_gui.studio.things import settings_files

    return settings_files.read(studio, file)


def _typed(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False) if isinstance(value, (tuple, list)) else str(value)


def _nothing(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    return {}


def _lines(said: dict[str, Any]) -> list[str]:
    asked = [f"{name}: {said[name]}" for name in ("name", "trigger", "preset", "base") if said[name]]
    values = [f"  {name} = {value}" for name, value in said["settings"].items()]
    left = ["Not carried over:", *(f"  {one}" for one in said["left"])] if said["left"] else []
    own = [f"Seen to by this app in its own way: {', '.join(said['own_way'])}."] if said["own_way"] else []
    return [f"Settings of {said['program']}", *asked, *values, *left, *own]
