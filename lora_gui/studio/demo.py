"""The demonstration: train the style preset on the starter and the example pictures, draw with and without the LoRA."""

import io
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.protocol import events
from lora_gui.protocol.jobs import Base
from lora_gui.settings import DrawSettings, StackEntry, check
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import runs
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.studio.things import bases, pictures, presets

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
CELL, LABEL, MARGIN = 192, 40, 96  # px
INK, PAPER = "#2b2b33", "#ffffff"

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
    files.write_bytes(picture, _png(grid(before, after)))
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
        "changed": [round(difference(one, other), 4) for one, other in zip(before, after, strict=True)],
    }
    files.write_text(out / "figures.json", json.dumps(figures, indent=1))
    return shown


def _train(studio: Studio, base: Base) -> runs.Run:
    examples = pictures.examples().get(PRESET)
    if examples is None:
        raise UserError("The example pictures did not come with this copy of the app.", "Get the app again, whole.")
    chosen, _ = pictures.import_pictures(studio, [examples])
    settings = presets.fill(studio, PRESET, base, len(chosen.pictures), {"sample_every": 0})
    return runs.start(studio, runs.new_job(studio, NAME, TRIGGER, PRESET, base, chosen.pictures, settings))


def _draw(studio: Studio, base: Base, lora: Path, out: Path, say: Say) -> tuple[list[Image.Image], list[Image.Image]]:
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
        drawn: list[Image.Image] = []
        for id in ids:
            for status in drawer.wait(id):
                if status.state == "failed":
                    raise UserError(status.what, status.remedy)
            say(events.Phase("Drawing", len(drawn) + 1, len(ids)))
            drawn.append(Image.open(drawer.status(id).drawings[0]).convert("RGB"))
        return drawn[: len(PROMPTS)], drawn[len(PROMPTS) :]
    finally:
        drawer.close()


def grid(before: list[Image.Image], after: list[Image.Image]) -> Image.Image:
    """Base above LoRA, a column for each prompt, the prompts above."""
    font = ImageFont.load_default(size=14)
    sheet = Image.new("RGB", (MARGIN + CELL * len(before), LABEL + 2 * CELL), PAPER)
    pen = ImageDraw.Draw(sheet)
    for row, (title, drawings) in enumerate((("base", before), ("with LoRA", after))):
        pen.text((MARGIN - 8, LABEL + CELL * row + CELL // 2), title, INK, font, anchor="rm")
        for column, drawing in enumerate(drawings):
            scaled = drawing.resize((CELL - 4, CELL - 4), Image.Resampling.LANCZOS)
            sheet.paste(scaled, (MARGIN + CELL * column + 2, LABEL + CELL * row + 2))
    for column, prompt in enumerate(PROMPTS[: len(before)]):
        subject, _, ground = prompt.partition(" on ")
        pen.text(
            (MARGIN + CELL * column + CELL // 2, LABEL // 2),
            f"{subject}\non {ground}",
            INK,
            font,
            anchor="mm",
            align="center",
        )
    return sheet


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of two drawings, 0 = the same, 1 = black against white."""
    pixels = (np.asarray(image, dtype=np.float32) / 255 for image in (one, other))
    return float(np.abs(next(pixels) - next(pixels)).mean())


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
