"""The command line: the same engine as the window, without a window. Exit code 0 only on success."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from lora_gui import __version__, events
from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio

# The parts of the studio are imported where a command needs them, so that `--help` and `inspect` answer at once.


class Parser(argparse.ArgumentParser):
    """Says a wrong command line like every other mistake of the user."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"The command line is not right: {message}.", f"See: {self.prog} --help")


class UsageError(UserError):
    """Exit code 2, as is usual for command lines."""


class EndedEarly(UserError):
    """Work that began and did not end well; `saved`, what there is of it, goes into the JSON beside the sentence."""

    def __init__(self, what: str, remedy: str, saved: dict[str, Any]) -> None:
        super().__init__(what, remedy)
        self.saved = saved


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a console may not know every letter
    as_json = "--json" in arguments
    try:
        options = parser().parse_args(arguments)
        result = options.command(options, Studio.default())
    except UserError as error:
        return _fail(error, as_json)
    except KeyboardInterrupt:
        return _fail(EndedEarly("Stopped.", "A training that is being saved is saved all the same.", {}), as_json)
    if as_json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key}: {value}")
    return 0


def _fail(error: UserError, as_json: bool) -> int:
    """Tell people or programs what went wrong; the exit code."""
    if as_json:
        print(json.dumps({"error": error.what, "remedy": error.remedy} | getattr(error, "saved", {})))
    else:
        print(f"{error.what}\n{error.remedy}", file=sys.stderr)
    return 2 if isinstance(error, UsageError) else 1


def parser() -> Parser:
    top = Parser(prog="python -m lora_gui", description="Train LoRAs of your own pictures and draw with them.")
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)

    demo = _command(commands, "demo", run_demo, "train on the example pictures and draw with and without the LoRA")
    demo.add_argument(
        "--out", type=Path, default=Path("demo"), metavar="DIR", help="where the pictures go (default: demo)"
    )

    train = _command(commands, "train", run_train, "train a LoRA")
    train.add_argument(
        "--preset", default="style", help="style, character, concept or one of your own (default: style)"
    )
    train.add_argument("--base", default="starter", help="a base or the folder of one (default: starter)")
    train.add_argument("--pictures", type=Path, nargs="+", required=True, metavar="DIR", help="folders or single files")
    train.add_argument("--trigger", required=True, help="the word that calls the LoRA")
    train.add_argument("--name", required=True, help="the name of the LoRA")
    train.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting, such as steps=300"
    )

    draw = _command(commands, "draw", run_draw, "draw, with LoRAs or without")
    draw.add_argument("--base", default="starter", help="a base or the folder of one (default: starter)")
    draw.add_argument("--prompt", required=True)
    draw.add_argument("--negative", default="", metavar="PROMPT", help="what you do not want to see")
    draw.add_argument(
        "--lora",
        action="append",
        default=[],
        metavar="NAME:STRENGTH",
        help="a LoRA or the path of one; may be repeated",
    )
    draw.add_argument("--seed", type=int, default=1)
    draw.add_argument("--count", type=int, default=1)
    draw.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting, such as guidance=5"
    )
    draw.add_argument("--out", type=Path, metavar="DIR", help="where the drawings go (default: your studio)")

    inspect = _command(commands, "inspect", run_inspect, "say what a LoRA file is")
    inspect.add_argument("file", type=Path)
    return top


def _command(commands: Any, name: str, command: Any, help: str) -> argparse.ArgumentParser:
    found: argparse.ArgumentParser = commands.add_parser(name, help=help, description=help)
    found.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    found.set_defaults(command=command)
    return found


def run_demo(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    from lora_gui.studio.demo import demo

    return demo(studio, options.out, _say)


def run_train(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    from lora_gui.studio import bases, pictures, presets, runs
    from lora_gui.studio.names import check_name, check_trigger

    began = time.monotonic()
    check_name(options.name)  # before the pictures are copied, so that a wrong name costs nothing
    check_trigger(options.trigger)
    runs.require_none_running(studio)
    base = bases.find(studio, options.base)
    presets.fill(studio, options.preset, base, 1, _settings(options.set))
    chosen, refused = pictures.import_pictures(studio, options.pictures)
    _, warnings = check_trigger(options.trigger, [picture.caption for picture in chosen.pictures])
    for sentence in (*refused, *chosen.notes, *warnings):
        _say(events.Note(sentence))
    settings = presets.fill(studio, options.preset, base, len(chosen.pictures), _settings(options.set))
    job = runs.new_job(studio, options.name, options.trigger, options.preset, base, chosen.pictures, settings)
    run = runs.start(studio, job)
    status = run.follow(_say)
    if status.state == "failed":
        raise EndedEarly(status.what, status.remedy, {"run": str(run.folder)})
    if status.state == "stopped":
        kept = f"What was learnt is saved as {status.lora}." if status.lora else "There was nothing worth saving yet."
        raise EndedEarly(
            f"Stopped at step {status.step} of {status.of}.", kept, {"lora": status.lora, "run": str(run.folder)}
        )
    seconds = round(time.monotonic() - began, 1)
    return {
        "lora": status.lora,
        "run": str(run.folder),
        "steps": status.step,
        "sha256": status.sha256,
        "seconds": seconds,
    }


def run_draw(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    from lora_gui.settings import DrawSettings, check
    from lora_gui.studio import bases
    from lora_gui.studio.drawings import Drawer, DrawStatus

    began = time.monotonic()
    base = bases.find(studio, options.base)
    asked = {
        "prompt": options.prompt,
        "negative_prompt": options.negative,
        "seed": options.seed,
        "count": options.count,
    }
    stack = {"stack": tuple(_stack_entry(studio, text) for text in options.lora)}
    settings = check(DrawSettings, bases.draw_defaults(base) | asked | stack | _settings(options.set))
    drawer, status, told = Drawer(studio), DrawStatus(), ""
    try:
        for status in drawer.wait(drawer.order(base, settings, options.out)):
            phase = f"{status.phase or 'Drawing'} ({status.done} of {settings.count} done)"
            if phase != told:
                _say(events.Note(phase))
            told = phase
    except KeyboardInterrupt:
        saved = {"drawings": [str(path) for path in status.drawings]}
        raise EndedEarly("Stopped.", "Finished drawings are kept.", saved) from None
    finally:
        drawer.close()
    if status.state != "done":
        raise UserError(status.what or "The drawing was stopped.", status.remedy or "Draw again.")
    for note in status.notes:
        _say(events.Note(note))
    return {"drawings": [str(path) for path in status.drawings], "seconds": round(time.monotonic() - began, 1)}


def run_inspect(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    from lora_gui.studio import library

    lora = library.describe(options.file)
    shown = (
        "name",
        "family",
        "dialect",
        "rank",
        "alpha",
        "trigger",
        "layers",
        "base_title",
        "preset",
        "steps",
        "made",
        "size",
    )
    return {field: getattr(lora, field) for field in shown} | {"finite": library.is_finite(options.file)}


def _stack_entry(studio: Studio, text: str) -> dict[str, Any]:
    """`NAME:0.8` or `NAME`; the name may be a path that holds colons itself."""
    from lora_gui.studio import library

    name, colon, strength = text.rpartition(":")
    try:
        value = float(strength) if colon else 1.0
    except ValueError:
        colon, value = "", 1.0  # the colon belongs to a path, as in C:\loras\cat.safetensors
    return {"lora": str(library.find(studio, name if colon else text).path), "strength": value}


def _settings(pairs: list[str]) -> dict[str, Any]:
    """`steps=300` and the like; a value is read as JSON where it is JSON, else as text."""
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise UserError(f"--set {pair!r} has no value.", "Write it as KEY=VALUE, such as --set steps=300.")
        try:
            values[key.strip()] = json.loads(text)
        except ValueError:
            values[key.strip()] = text.strip()
    return values


def _say(event: events.Event) -> None:
    """Progress for people, apart from the result on standard output."""
    match event:
        case events.Step(step, of, loss, _, left):
            text = f"step {step} of {of}, loss {loss:.4f}, {left:.0f} s left"
        case events.Phase(name, done, of):
            text = f"{name} {done} of {of}" if of else name
        case events.Note(sentence):
            text = sentence
        case _:
            return
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
