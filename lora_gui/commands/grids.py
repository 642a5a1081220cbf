"""Grids of drawings: two axes on a sheet, a strength that travels, LoRAs alone and together."""

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lora_gui.commands import EndedEarly, Register, note, once
from lora_gui.commands.draw import arguments, asked
from lora_gui.studio.paths import Studio

if TYPE_CHECKING:
    from lora_gui.protocol.jobs import Base
    from lora_gui.settings import DrawSettings
    from lora_gui.studio.stacks.grid import Grid

_ROWS = (
    "what changes and its values: strength, second (that of the second LoRA), checkpoint, lora, seed, words, steps,"
    " guidance or sampler, such as strength:0,0.5,1 or words:fox|red fox; | parts values that hold commas"
)


def add(commands: Any, register: Register) -> None:
    """Put the commands of this file on the command line."""
    grid = register(commands, "grid", run_grid, "draw a grid: what changes from row to row and from column to column")
    grid.add_argument("--rows", metavar="AXIS:VALUES", help=_ROWS)
    grid.add_argument("--columns", metavar="AXIS:VALUES", required=True, help="the same across, such as seed:1,2,3")
    travel = register(commands, "travel", run_travel, "one seed over many strengths, as a strip that also moves")
    travel.add_argument("--from", dest="first", type=float, default=0.0, help="the first strength (default: 0)")
    travel.add_argument("--to", dest="last", type=float, default=1.0, help="the last one (default: 1)")
    travel.add_argument("--stations", type=int, default=10, help="how many drawings (default: 10)")
    compare = register(commands, "compare", run_compare, "the base, each LoRA alone, all together; how much is kept")
    for command in (grid, travel, compare):
        command.set_defaults(makes_studio=True, count=1)
        arguments(command)


def run_grid(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """The sheet and its cells. Raises EndedEarly with those that were drawn where it was stopped."""
    from lora_gui.studio.stacks import axes, grid

    base, settings, held = _asked(options, studio)
    rows = axes.read(options.rows) if options.rows else grid.ONE
    return _drawn(studio, grid.plan(studio, base, settings, rows, axes.read(options.columns)), options, held).to_json()


def run_travel(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """The strip, and the drawings as one that moves."""
    from lora_gui.studio.stacks import grid

    base, settings, held = _asked(options, studio)
    axis = grid.travel(options.stations, options.first, options.last)
    done = _drawn(studio, replace(grid.plan(studio, base, settings, columns=axis), kind="travel"), options, held)
    return done.to_json() | {"moving": str(grid.animate(done))}


def run_compare(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """The drawings, and how much of each LoRA is left in all together."""
    from lora_gui.studio.stacks import compare

    base, settings, held = _asked(options, studio)
    done = _drawn(studio, compare.plan(studio, base, settings), options, held)
    found = compare.kept(done)
    for one in found:
        note(one.sentence)
    return done.to_json() | {"kept": compare.to_json(found)}


def _asked(options: argparse.Namespace, studio: Studio) -> tuple["Base", "DrawSettings", dict[str, Any] | None]:
    """As of a drawing; that several of each are asked for is said to be left out."""
    found = asked(options, studio)
    if found[1].count > 1:
        note("Each cell is drawn once: count is left out.")
    return found


def _drawn(studio: Studio, planned: "Grid", options: argparse.Namespace, held: Any) -> "Grid":
    from lora_gui.studio.stacks import grid
    from lora_gui.studio.tasks.drawing import Drawer

    for sentence in planned.notes:
        note(sentence)
    drawer, now, tell = Drawer(studio), planned, once()
    try:
        for now in grid.draw(drawer, planned, lambda: False, held=held, on_processor=options.on_processor):
            tell(f"{len(now.drawn)} of {len(now.cells)} drawn")
    except KeyboardInterrupt:
        raise EndedEarly("Stopped.", "What was drawn is kept.", now.to_json() | {"stopped": True}) from None
    finally:
        drawer.close()
    for cell in now.cells:
        if cell.problem:
            note(cell.problem)
    return now
