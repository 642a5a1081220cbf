"""The command line: the same engine as the window, without a window. Exit code 0 only on success."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable
from typing import IO, Any, NoReturn

from lora_gui import __version__, environment
from lora_gui.commands import (
    EndedEarly,
    again,
    bases,
    captioners,
    captions,
    check,
    contract,
    draw,
    families,
    files,
    give,
    grids,
    insight,
    loras,
    menu,
    note,
    packs,
    pictures,
    plan,
    presets,
    printable,
    queue,
    runs,
    settings,
    stacks,
    train,
)
from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio

# The parts of the studio are imported where a command needs them, so that `--help` and `inspect` answer at once.
TOPICS = (
    train, queue, runs, packs, pictures, check, captions, captioners, draw, again, grids, insight, stacks, plan, files,
    loras, give, contract, settings, presets, families, bases, menu,
)  # fmt: skip


class Parser(argparse.ArgumentParser):
    """Says a wrong command line like every other mistake of the user, and takes no option for another."""

    def __init__(self, **about: Any) -> None:
        super().__init__(**about, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"The command line is not right: {message}.", f"See: {self.prog} --help")


class UsageError(UserError):
    """Exit code 2, as is usual for command lines."""


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    environment.settle_streams()
    as_json = "--json" in arguments
    try:
        options = parser().parse_args(arguments)
        studio = Studio.default()
        if options.makes_studio and (closed := studio.prepare()):
            note(closed)
        result = options.command(options, studio)
    except UserError as error:
        return _fail(error, as_json)
    except OSError as error:  # a folder that is another user's, a name too long, a drive that went away
        what = f"{error.filename or 'A file'} could not be used ({error.strerror or error})."
        return _fail(UserError(what, "Check its name, and that it is there and yours."), as_json)
    except KeyboardInterrupt:
        return _fail(EndedEarly("Stopped.", "A training that is being saved is saved all the same.", {}), as_json)
    told = _print([json.dumps(result)] if as_json else options.show(result), sys.stdout)
    return 0 if told else 1


def _print(lines: Iterable[str], stream: IO[str]) -> bool:
    """Whether all was taken: a reader such as `head` goes away when it has heard enough, and a disk may be full."""
    try:
        for line in lines:
            print(printable(line), file=stream)
        stream.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # what is left in it is flushed at the end
        if not isinstance(error, BrokenPipeError):
            note(f"The result could not be written ({error.strerror}).\nMake some space, or write it elsewhere.")
        return False
    return True


def _fail(error: UserError, as_json: bool) -> int:
    """Tell people or programs what went wrong; the exit code."""
    if as_json:
        _print([json.dumps({"error": error.what, "remedy": error.remedy} | getattr(error, "saved", {}))], sys.stdout)
    else:
        _print([error.what, error.remedy], sys.stderr)
    return 2 if isinstance(error, UsageError) else 1


def parser() -> Parser:
    top = Parser(prog="python -m lora_gui", description="Train LoRAs of your own pictures and draw with them.")
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)
    for topic in TOPICS:
        topic.add(commands, _command)
    return top


def _command(commands: Any, name: str, command: Callable[..., Any], help: str) -> argparse.ArgumentParser:
    found: argparse.ArgumentParser = commands.add_parser(name, help=help, description=help)
    found.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    found.set_defaults(command=command, show=_lines, makes_studio=False)
    return found


def _lines(result: dict[str, Any]) -> list[str]:
    """A result for people; a command whose result reads better otherwise sets `show` of its own."""
    return [f"{key}: {value}" for key, value in result.items()]


if __name__ == "__main__":
    sys.exit(main())
