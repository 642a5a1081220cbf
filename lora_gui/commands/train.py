"""Train a LoRA: of your own pictures, or of the example pictures as a demonstration."""

import argparse
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_gui.commands import Register, as_path, gigabytes, note, say, settings_of
from lora_gui.commands.pictures import SOURCES, add_ground
from lora_gui.commands.runs import add_processes, followed
from lora_gui.studio.paths import Studio

if TYPE_CHECKING:
    from lora_gui.protocol.jobs import TrainJob
    from lora_gui.studio.things.pictures import PictureSet

MANY = 10_000  # pictures; for which a preset takes its most steps


def add(commands: Any, register: Register) -> None:
    """Put the commands of this file on the command line."""
    demo = register(commands, "demo", run_demo, "train on the example pictures and draw with and without the LoRA")
    demo.set_defaults(makes_studio=True)
    demo.add_argument(
        "--out", type=_typed, default=Path("demo"), metavar="DIR", help="where the pictures go (default: demo)"
    )

    train = register(commands, "train", run_train, "train a LoRA")
    add_order(train)
    add_processes(train, 1, "1")


def add_order(train: argparse.ArgumentParser) -> None:
    """The options that say what is to be trained."""
    add_pictures(train)
    train.add_argument("--trigger", required=True, help="the word that calls the LoRA")
    train.add_argument("--name", required=True, help="the name of the LoRA")
    add_settings(train)


def add_pictures(train: argparse.ArgumentParser) -> None:
    """The options that say of what."""
    train.set_defaults(makes_studio=True)
    train.add_argument("--pictures", type=as_path, nargs="+", required=True, metavar="DIR", help=SOURCES)
    add_ground(train)


def add_settings(train: argparse.ArgumentParser) -> None:
    """The options that say how."""
    train.add_argument(
        "--preset", default="style", help="style, character, concept or one of your own (default: style)"
    )
    train.add_argument("--base", default="starter", help="a base or the folder of one (default: starter)")
    add_hand(train)


def add_hand(train: argparse.ArgumentParser) -> None:
    """Those that are the same beside a settings file."""
    train.add_argument(
        "--vram", type=gigabytes, metavar="GB",
        help="fill the preset for a card of this memory (default: this computer's)",
    )  # fmt: skip
    train.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE",
        help="change a setting, such as steps=300; may be repeated",
    )


def _typed(folder: str) -> Path:
    """As it is meant where it was typed, which the launchers say, since they go to the program's folder."""
    return Path(os.environ.get("LORA_GUI_FROM", ""), as_path(folder))


def run_demo(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """What the demonstration made, and how long it took."""
    from lora_gui.studio.demo import demo

    return demo(studio, options.out, say)


def run_train(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """The LoRA of a run that came to its last step. Raises EndedEarly where it did not."""
    from lora_gui.studio.tasks import runs

    began = time.monotonic()
    runs.require_none_running(studio)
    run = runs.start(studio, ordered(options, studio), options.processes)
    return followed(studio, run) | {"seconds": round(time.monotonic() - began, 1)}


def ordered(options: argparse.Namespace, studio: Studio) -> "TrainJob":
    """The job that `add_order`'s options describe, its pictures copied. Raises UserError where it cannot be trained."""
    from lora_gui.settings import TrainSettings
    from lora_gui.studio.capacity import fit, gpu
    from lora_gui.studio.things import bases, pictures, presets, triggers
    from lora_gui.studio.things.names import check_name

    check_name(options.name)  # before the pictures are copied, so that a wrong name costs nothing
    triggers.usable(options.trigger)
    base = bases.find(studio, options.base)
    hand = settings_of(options.set, TrainSettings)
    presets.fill(studio, options.preset, base, MANY, hand, gpu.memory() if options.vram is None else options.vram)
    chosen, refused = pictures.import_pictures(studio, options.pictures, ground=options.ground)
    for sentence in refused:
        note(sentence)
    job = order(options, studio, chosen, getattr(options, "processes", 1))
    fit.require(studio, base, job.settings)
    return job


def order(options: argparse.Namespace, studio: Studio, chosen: "PictureSet", processes: int = 1) -> "TrainJob":
    """The job that `add_settings`'s options describe for a picture set; what is to be known of it is said."""
    from lora_gui.settings import TrainSettings
    from lora_gui.studio.capacity import gpu
    from lora_gui.studio.library import scan
    from lora_gui.studio.tasks import runs
    from lora_gui.studio.things import bases, framings, masks, presets, prompt, triggers

    base = bases.find(studio, options.base)
    hand = settings_of(options.set, TrainSettings)
    vram = gpu.memory() if options.vram is None else options.vram
    captions = [picture.caption for picture in chosen.pictures]
    verdict = triggers.judge(options.trigger, base, captions, scan.triggers(studio))
    better = [f"A better word would be {verdict.suggestion}."] if verdict.suggestion else []
    for sentence in (*chosen.notes, *verdict.sentences, *better):
        note(sentence)
    settings = presets.fill(studio, options.preset, base, len(chosen.pictures), hand, vram)
    together = settings.model_copy(update={"batch_size": settings.batch_size * processes})
    each = framings.framed(framings.sizes(chosen.pictures), base.family, together)
    for sentence in (framings.sentence(each, settings.resolution), *framings.losing(each)):
        note(sentence)
    for sentence in (masks.unused(chosen, settings), prompt.read_as_words(settings.sample_prompts, base.family)):
        if sentence:
            note(sentence)
    return runs.new_job(studio, options.name, options.trigger, options.preset, base, chosen.pictures, settings)
