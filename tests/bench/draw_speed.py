"""How much longer a drawing takes with LoRAs than without: `draw_speed.py [LORA ...] [--random K] [--runs N]`.

With the starter, or with a base in the folder `--base`; `--random` makes LoRAs of rank 16 in all its linear layers.
`--precision int8` (or nf4) holds the base in few bits, so that what is quantised is not merged into. Drawings without
and with LoRAs, as the app and as peft's own wrappers compute them, take turns in one process. What is counted is the
processor's own time, of all threads, so that whatever else the computer does hardly matters. Prints one JSON object:
the median seconds of each, and what they are to those of the base that was drawn in the same turn.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import get_args
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from safetensors.torch import save_file

from lora_gui.engine.draw.applied import Applied, Weight
from lora_gui.engine.draw.drawer import Drawer
from lora_gui.engine.load import lora
from lora_gui.formats import dialects
from lora_gui.formats.lora_file import Layer
from lora_gui.protocol.jobs import Base, DrawJob
from lora_gui.settings import DrawSettings, Quantised, StackEntry, TrainSettings
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import bases

KINDS = ("base", "loras", "peft")


def by_peft(self: Applied, weights: Mapping[str, Weight], merged: bool) -> None:
    """As the wrappers do it by themselves, in place of `Applied.use`."""
    lora.activate(self.parts, {name: weight("unet") for name, weight in weights.items()})


def random_loras(drawer: Drawer, count: int, folder: Path) -> list[Path]:
    """LoRA files for the base that the drawer holds."""
    opened, paths = drawer.opened, []
    assert opened is not None
    unets = {name: part for name, part in opened.pipeline.parts.items() if not name.startswith("text")}
    for number in range(count):
        lora.add_new(unets, opened.family, TrainSettings(rank=16, alpha=16, layers="linear", seed=number), "new")
        found = lora.get_weights(unets, "new")
        lora.remove(unets, "new")
        layers = {name: Layer(one.down, torch.randn_like(one.up) * 0.002, one.alpha) for name, one in found.items()}
        paths.append(folder / f"random{number}.safetensors")
        tensors = dialects.build(layers, opened.family.facts)
        save_file({key: one.contiguous() for key, one in tensors.items()}, paths[-1])
    return paths


def drawn(drawer: Drawer, base: Base, options: argparse.Namespace, stack: tuple[StackEntry, ...], folder: str) -> float:
    """The processor's seconds for one drawing, from the order to the file."""
    side = options.side
    settings = DrawSettings(
        prompt="a red apple", stack=stack, width=side, height=side, steps=options.steps, guidance=4, seed=1
    )
    job = DrawJob(id="one", base=base, settings=settings, folder=folder, precision=options.precision)
    began = time.process_time()
    list(drawer.draw(job, lambda _: None, bool))
    return time.process_time() - began


def entries(paths: list[Path], strength: float = 0.8) -> tuple[StackEntry, ...]:
    return tuple(StackEntry(lora=str(one.resolve()), strength=strength) for one in paths)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lora", type=Path, nargs="*")
    parser.add_argument("--random", type=int, default=0, metavar="K")
    parser.add_argument("--base", type=Path, help="a diffusers folder of Stable Diffusion 1.x")
    parser.add_argument("--precision", choices=("", *get_args(Quantised), "bf16"), default="")
    parser.add_argument("--side", type=int, default=128, metavar="PX")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    ours, theirs = Drawer(on_processor=True), Drawer(on_processor=True)
    with tempfile.TemporaryDirectory() as folder:
        base = bases.find(Studio(Path(folder)), "starter")
        if options.base:
            base = Base(key="own", title="own", family="sd1", path=str(options.base.resolve()))
        drawn(ours, base, options, (), folder)
        paths = options.lora + random_loras(ours, options.random, Path(folder))
        for run in range(options.runs + 1):
            for kind, taken in seconds.items():
                drawer, used = theirs if kind == "peft" else ours, by_peft if kind == "peft" else Applied.use
                with mock.patch.object(Applied, "use", used):
                    value = drawn(drawer, base, options, () if kind == "base" else entries(paths), folder)
                taken += [value] if run else []  # the first loads
    found = {kind: statistics.median(taken) for kind, taken in seconds.items()}
    for kind in KINDS[1:]:
        each = [one / base for one, base in zip(seconds[kind], seconds["base"], strict=True)]
        found |= {f"{kind} / base": statistics.median(each), f"{kind}, least": min(each), f"{kind}, most": max(each)}
    print(json.dumps({kind: round(value, 3) for kind, value in found.items()}))


if __name__ == "__main__":
    main()
