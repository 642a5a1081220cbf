"""The demonstration: train the style preset on the starter and the example pictures, draw with and without the LoRA."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.protocol import events
from lora_gui.protocol.jobs import Base
from lora_gui.settings import DrawSettings, StackEntry, check
from lora_gui.studio.paths import Studio
from lora_gui.studio.stacks.sheet import Sheet
from lora_gui.studio.tasks import runs
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.studio.things import bases, pictures, presets
from lora_gui.studio.things.drawings import pixels

PRESET, BASE, TRIGGER, NAME = "style", "starter", "zxy_style", "demo-style"
# Subjects the base knows and none of the example pictures shows.
PROMPTS = (
    "frog on a pink background",
    "pineapple on a blue background",
    "owl on a yellow background",
    "tractor on a white background",
    "mushroom on a green background",
    "dolphin on an orange background",
    "cupcake on a grey background",
    "tiger face on a purple background",
)
SEED = 100
CELL = 256  # px of a drawing on the sheet

Say = Callable[[events.Event], None]


def demo(studio: Studio, out: Path, say: Say) -> dict[str, Any]:
    """Train, draw, and leave before-after.png and figures.json in `out`; `say` hears every event. Raises UserError."""
    began = time.monotonic()
    runs.require_none_running(studio)
    files.make_folder(out)
    base = bases.find(studio, BASE)
    run = _train(studio, base)
    status = runs.follow(studio, run, say)
    if status.state != "finished":
        raise UserError(status.what or "The demonstration was stopped.", status.remedy or "Start it again.")
    trained = time.monotonic()
    before, after = _draw(studio, base, Path(status.lora), out, say)
    picture = out / "before-after.png"
    page = Sheet(PROMPTS, ("base", "with LoRA"), (CELL, CELL))
    for column, both in enumerate(zip(before, after, strict=True)):
        for row, drawing in enumerate(both):
            page.put(row, column, drawing)
    page.save(picture, "The same prompts and seeds, drawn by the base and with the LoRA.")
    seconds = round(time.monotonic() - began, 1)
    shown = {"lora": status.lora, "before_after": os.path.realpath(picture), "seconds": seconds}
    figures = shown | {
        "train_seconds": round(trained - began, 1),
        "draw_seconds": round(time.monotonic() - trained, 1),
        "steps": status.step,
        "sha256": status.sha256,
        "losses": status.losses,
        "prompts": PROMPTS,
        "trigger": TRIGGER,
        "seed": SEED,
        "changed": [round(difference(pixels(one), pixels(other)), 4) for one, other in zip(before, after, strict=True)],
    }
    files.write_json(out / "figures.json", figures)
    return shown


def _train(studio: Studio, base: Base) -> runs.Run:
    examples = pictures.examples().get(PRESET)
    if examples is None:
        raise UserError("The example pictures did not come with this copy of the app.", "Get the app again, whole.")
    chosen, _ = pictures.import_pictures(studio, [examples])
    settings = presets.fill(studio, PRESET, base, len(chosen.pictures), {"sample_every": 0})
    return runs.start(studio, runs.new_job(studio, NAME, TRIGGER, PRESET, base, chosen.pictures, settings))


def _draw(studio: Studio, base: Base, lora: Path, out: Path, say: Say) -> tuple[list[Path], list[Path]]:
    """The prompts drawn by the base, and by the base with the LoRA, the same seeds."""
    drawer = Drawer(studio)
    try:
        stacks = (), (StackEntry(lora=str(lora), strength=1.0),)
        ids = []
        for row, stack in enumerate(stacks):
            for number, prompt in enumerate(PROMPTS):
                values = bases.draw_defaults(base) | {
                    "prompt": f"{TRIGGER} {prompt}" if row else prompt,
                    "stack": stack,
                    "seed": SEED + number,
                }
                ids.append(drawer.order(base, check(DrawSettings, values), out / "drawings"))
        drawn: list[Path] = []
        for id in ids:
            for status in drawer.wait(id):
                if status.state == "failed":
                    raise UserError(status.what, status.remedy)
            say(events.Phase("Drawing", len(drawn) + 1, len(ids)))
            drawn.append(drawer.status(id).drawings[0])
        return drawn[: len(PROMPTS)], drawn[len(PROMPTS) :]
    finally:
        drawer.close()


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of two drawings, 0 = the same, 1 = black against white."""
    pixels = (np.asarray(image, dtype=np.float32) / 255 for image in (one, other))
    return float(np.abs(next(pixels) - next(pixels)).mean())
