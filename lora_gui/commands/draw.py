"""Draw with a base and a stack of LoRAs."""

import argparse
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from lora_gui.commands import EndedEarly, Register, as_path, note, once, settings_of
from lora_gui.errors import UserError, nearest
from lora_gui.studio.paths import Studio

if TYPE_CHECKING:
    from lora_gui.protocol.jobs import Base
    from lora_gui.settings import DrawSettings


def add(commands: Any, register: Register) -> None:
    """Put the commands of this file on the command line."""
    draw = register(commands, "draw", run_draw, "draw, with LoRAs or without")
    draw.set_defaults(makes_studio=True)
    arguments(draw)
    draw.add_argument("--count", type=int, default=1, help="how many drawings, each with the next seed (default: 1)")
    draw.add_argument("--out", type=as_path, metavar="DIR", help="where the drawings go (default: your studio)")


def arguments(draw: argparse.ArgumentParser) -> None:
    """What every command takes that draws."""
    draw.add_argument("--base", default="starter", help="a base or the folder of one (default: starter)")
    draw.add_argument(
        "--prompt",
        required=True,
        help="<lora:name:0.8> is a LoRA of your studio, (word:1.2) a weight where the base heeds it, {a|b} a choice by "
        "the seed, __name__ a line of wildcards/name.txt in your studio",
    )
    draw.add_argument("--negative", default="", metavar="PROMPT", help="what you do not want to see")
    draw.add_argument(
        "--lora",
        action="append",
        default=[],
        metavar="NAME:STRENGTH",
        help="a LoRA or the path of one; may be repeated",
    )
    draw.add_argument(
        "--precision",
        metavar="PRECISION",
        help="how the base is held in memory (default: whole where the card has room for it, else as it is trained)",
    )
    draw.add_argument("--on-processor", action="store_true", help="beside whatever has the card, and slower")
    draw.add_argument("--seed", type=int, default=1, help="-1 takes a new one (default: 1)")
    draw.add_argument("--ratio", metavar="W:H", help="of the sides, such as 2:3, at the size that the base likes")
    draw.add_argument("--picture", type=as_path, metavar="FILE", help="draw over this one, as large as it is")
    draw.add_argument("--mask", type=as_path, metavar="FILE", help="white where the picture is drawn anew")
    draw.add_argument("--sampler", metavar="NAME", help="such as 'Euler a' or 'DPM++ 2M' (default: the base's own)")
    draw.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE",
        help="change a setting, such as guidance=5; may be repeated",
    )


def run_draw(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """The drawings and how long they took. Raises EndedEarly with those that were finished where it was stopped."""
    base, settings, held = asked(options, studio)
    return drawn(studio, base, settings, options.out, held, options.on_processor)


def asked(options: argparse.Namespace, studio: Studio) -> tuple["Base", "DrawSettings", dict[str, Any] | None]:
    """The base, what is to be drawn, and how the base is held, by what `arguments` takes."""
    from lora_gui.settings import DrawSettings, Precision, check
    from lora_gui.studio.things import bases

    base = bases.find(studio, options.base)
    asked = {
        "prompt": options.prompt,
        "negative_prompt": options.negative,
        "seed": options.seed,
        "count": options.count,
        "stack": tuple(_stack_entry(studio, text) for text in options.lora),
    }
    named = settings_of([f"sampler={options.sampler}"] if options.sampler else [], DrawSettings)
    given = bases.draw_defaults(base) | asked | named | _size(base, options) | settings_of(options.set, DrawSettings)
    if options.precision not in (None, *get_args(Precision)):
        what = f"There is no precision {options.precision!r}."
        raise UserError(what, nearest(options.precision, get_args(Precision)))
    return base, check(DrawSettings, given), {"precision": options.precision} if options.precision else None


def drawn(
    studio: Studio, base: "Base", settings: "DrawSettings", out: Path | None, held: Any = None, processor: bool = False
) -> dict[str, Any]:
    """Draw, telling how it goes; what `run_draw` returns."""
    from lora_gui.studio.tasks.drawing import Drawer
    from lora_gui.studio.tasks.drawing_status import DrawStatus

    began = time.monotonic()
    drawer, status, tell = Drawer(studio), DrawStatus(), once()
    try:
        for status in drawer.wait(drawer.order(base, settings, out, held, processor)):
            tell(f"{status.phase or 'Drawing'} ({status.done} of {settings.count} done)")
    except KeyboardInterrupt:
        saved = {"drawings": [str(path) for path in status.drawings]}
        raise EndedEarly("Stopped.", "Finished drawings are kept.", saved) from None
    finally:
        drawer.close()
    if status.state != "done":
        raise UserError(status.what or "The drawing was stopped.", status.remedy or "Draw again.")
    for sentence in status.notes:
        note(sentence)
    drawings = [str(path) for path in status.drawings]
    seconds = round(time.monotonic() - began, 1)
    return {"drawings": drawings, "seeds": list(status.seeds), "seconds": seconds, "notes": list(status.notes)}


def _size(base: "Base", options: argparse.Namespace) -> dict[str, Any]:
    """The size that a ratio or a picture to begin with asks for, and the pictures."""
    from lora_gui.studio.things import inputs, ratios

    found = {name: os.path.realpath(path) for name in ("picture", "mask") if (path := getattr(options, name))}
    size = ratios.size(base, options.ratio) if options.ratio else None
    if size is None and options.picture:
        size = ratios.like(base, inputs.size(options.picture))
    return found | ({"width": size[0], "height": size[1]} if size else {})


def _stack_entry(studio: Studio, text: str) -> dict[str, Any]:
    """`NAME:0.8` or `NAME`; the name may be a path that holds colons itself."""
    from lora_gui import typed
    from lora_gui.settings import StackEntry, check
    from lora_gui.studio.things import loras

    name, colon, strength = text.rpartition(":")
    value = typed.number(strength) if colon else 1.0
    if isinstance(value, str):
        name, value = text, 1.0  # the colon belongs to a path, as in C:\loras\cat.safetensors
    path = loras.find(studio, name if colon else text).path
    return check(StackEntry, {"lora": str(path), "strength": value}).model_dump()
