"""Train and draw with Stable Diffusion 1.5 at its full size, with random weights, and hold its memory against the plan.

python tests/bench/full_size.py FOLDER [--steps N] [--resolution PX]

Runs on the processor, in bf16, with the app's own training: encoding, one sample drawing, steps. The base
(2.1 GB, no downloads) is made in FOLDER and kept there. Each phase is held to the plan without the runtime's own share,
which is that of a card's driver. Prints one JSON object; the exit code is 0 only if learning and drawing are within
15 %. Reading captions may need less here: weights are mapped from the file, and unused words stay there.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import psutil
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from safetensors.torch import load_file, save_file

from lora_gui.engine.load import device, unpack
from lora_gui.engine.memory import networks
from lora_gui.engine.memory.plan import GIB
from lora_gui.engine.memory.plan import plan as planned
from lora_gui.engine.train.loop import train
from lora_gui.families.stable_diffusion_1.model import StableDiffusion1
from lora_gui.protocol import events
from lora_gui.protocol.jobs import Base, PlanJob, TrainJob
from lora_gui.settings import TrainSettings
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import presets
from tests import tiny

WITHIN = 0.15
BASE = Base(key="sd15", title="Stable Diffusion 1.5", family="sd1", path="")
PHASES = {  # what the run says it does -> the phase of the plan
    "Encoding captions": "encode_text",
    "Encoding pictures": "encode_pictures",
    "Drawing samples": "sample",
}


class OneStep(StableDiffusion1):
    """The family as it is, but a drawing takes one step: its peak is that of fifty."""

    facts = replace(StableDiffusion1.facts, draw_defaults=StableDiffusion1.facts.draw_defaults | {"steps": 1})


def make_base(folder: Path) -> Base:
    """The pipeline of Stable Diffusion 1.5 at its full size, each weight drawn at random, in bf16."""
    base = folder / "sd15-random"
    if not (base / "model_index.json").is_file():
        torch.manual_seed(0)
        parts = {name: _random(one) for name, one in networks.components(BASE).items()}
        StableDiffusionPipeline(
            **parts, tokenizer=unpack.clip_tokenizer("tokenizer"), scheduler=DDIMScheduler(),
            safety_checker=None, feature_extractor=None, requires_safety_checker=False,
        ).save_pretrained(base)  # fmt: skip
        _as_on_hub(base / "text_encoder" / "model.safetensors")
    return BASE.model_copy(update={"path": str(base)})


def _as_on_hub(weights: Path) -> None:
    """Name the weights of a CLIP text encoder as all its published files do; older versions of transformers ask it."""
    named = {name if name.startswith("text_model.") else f"text_model.{name}": tensor
             for name, tensor in load_file(weights).items()}  # fmt: skip
    save_file(named, weights, metadata={"format": "pt"})


def _random(component: networks.Component) -> torch.nn.Module:
    network = networks.build(component, torch.bfloat16).to_empty(device="cpu")
    for name, weight in network.named_parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.02)
        else:
            torch.nn.init.constant_(weight, float(name.endswith("weight")))  # of a norm, or a bias
    for name, buffer in network.named_buffers():
        assert name.endswith("position_ids"), f"{name} is not known"
        buffer.copy_(torch.arange(buffer.numel()).view_as(buffer))
    return network


class Peaks:
    """The most memory this process has held in each phase, in bytes beyond what it held at the beginning."""

    def __init__(self) -> None:
        self.phase, self.over = "", False
        self.found: dict[str, int] = defaultdict(int)
        self._before = _resident()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self.over:
            self.found[self.phase] = max(self.found[self.phase], _resident() - self._before)
            time.sleep(0.005)

    def end(self) -> None:
        self.over = True
        self._thread.join()


def _resident() -> int:
    """Bytes, with the pages of files that are mapped: weights may lie there."""
    return psutil.Process().memory_info().rss


def settings_for(resolution: int, steps: int) -> TrainSettings:
    filled = presets.fill(Studio(Path("none")), "style", BASE, 20, card=12)
    short = {"steps": steps, "resolution": resolution, "sample_every": 0, "sample_prompts": ("a cat",)}
    return filled.model_copy(update=short)


def measured_peaks(base: Base, settings: TrainSettings, folder: Path) -> dict[str, int]:
    """Train up to the last step, without publishing; the peak of each phase of the plan in bytes."""
    pictures = tiny.pictures(folder / "pictures", 4, (settings.resolution, settings.resolution))
    job = TrainJob(
        name="full", trigger="zxy_style", preset="style", base=base, settings=settings, pictures=pictures,
        publish_to=str(folder / "loras"),
    )  # fmt: skip
    device.prepare(torch.device("cpu"))
    peaks = Peaks()
    for event in train(job, folder, OneStep()):
        if isinstance(event, events.Phase):
            peaks.phase = PHASES.get(event.name, "")
        elif isinstance(event, events.Sample):
            peaks.phase = "train"  # the last thing before the first step
        elif isinstance(event, events.Step) and event.step == settings.steps:
            break
    peaks.end()
    return peaks.found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--resolution", type=int, default=512)
    options = parser.parse_args()
    base, settings = make_base(options.folder), settings_for(options.resolution, options.steps)
    asked = PlanJob(base=BASE, settings=settings, vram_gib=12, ram_gib=32, cache=str(options.folder / "plans"))
    plan = planned(asked, StableDiffusion1())
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=options.folder) as run:
        peaks = measured_peaks(base, settings, Path(run))
    found = {}
    for phase, one in plan.phases.items():
        expected = (one.total - one.runtime) / GIB
        measured = peaks[phase] / GIB
        found[phase] = {"planned_gib": round(expected, 2), "measured_gib": round(measured, 2),
                        "ratio": round(measured / expected, 2)}  # fmt: skip
    print(json.dumps({"phases": found, "seconds": round(time.monotonic() - began)}))
    sys.exit(any(abs(found[phase]["ratio"] - 1) > WITHIN for phase in ("train", "sample")))


if __name__ == "__main__":
    main()
